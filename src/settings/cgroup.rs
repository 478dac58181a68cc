//! The memory that the system lets this process have: the limit of its control group, as containers have
//! one. Reads both versions of cgroups(7). Of the limits of the group and its parents, the lowest counts.

/// The limit in bytes; `None` where there is none. `read` gives a file's text, if it can be read.
pub(super) fn memory_limit(read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let groups = read("/proc/self/cgroup")?;
    let mut limit: Option<u64> = None;
    for line in groups.lines() {
        // `0::/user.slice/x` is of version 2, `7:memory:/docker/x` of version 1.
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        for group in up_from(path) {
            let text = read(&format!("{root}{group}/{file}"));
            // Without a limit it is `max`, or a number that no machine has.
            let bytes = text.and_then(|text| text.trim().parse().ok()).filter(|bytes| *bytes < 1 << 60);
            limit = limit.into_iter().chain(bytes).min();
        }
    }
    limit
}

/// A group and its parents. Within a container its own group is often the root.
fn up_from(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(path.trim_end_matches('/'));
    std::iter::from_fn(move || {
        let group = rest?;
        rest = group.rfind('/').and_then(|at| group.get(..at));
        Some(group)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(files: &[(&str, &str)]) -> Option<u64> {
        memory_limit(|path| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned()))
    }

    #[test]
    fn the_strictest_limit_of_a_group_and_those_around_it_counts() {
        let own = ("/proc/self/cgroup", "0::/system.slice/shop.service\n");
        assert_eq!(limit(&[own]), None);
        let around = ("/sys/fs/cgroup/system.slice/memory.max", "300\n");
        let within = ("/sys/fs/cgroup/system.slice/shop.service/memory.max", "max\n");
        assert_eq!(limit(&[own, around, within]), Some(300));
        let within = ("/sys/fs/cgroup/system.slice/shop.service/memory.max", "268435456\n");
        assert_eq!(limit(&[own, within]), Some(256 << 20));
        assert_eq!(limit(&[("/proc/self/cgroup", "0::/\n"), ("/sys/fs/cgroup/memory.max", "5\n")]), Some(5));
    }

    #[test]
    fn the_first_version_is_known_too() {
        let own = ("/proc/self/cgroup", "9:cpu,cpuacct:/x\n8:memory:/docker/x\n");
        let none = ("/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit(&[own, none]), None);
        // In a container the path is the host's, and the group is the root that the container sees.
        let root = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n");
        assert_eq!(limit(&[own, none, root]), Some(256 << 20));
    }

    #[test]
    fn nonsense_is_no_limit() {
        for text in ["", "x", "0:", "0::", "::::", "\0"] {
            assert_eq!(limit(&[("/proc/self/cgroup", text)]), None, "{text:?}");
        }
    }
}
