//! The guide's chapter "An investigation": what it shows is what the prompt answers on the store of `ostracon demo`.

use super::super::command::Folder;

#[test]
fn the_chapter_shows_what_is_answered() {
    let guide = include_str!("../../../docs/guide.md");
    let (_, chapter) = guide.split_once("\n## An investigation\n").unwrap();
    let (chapter, _) = chapter.split_once("\n## ").unwrap();
    let (mut asked, mut shown) = (String::new(), Vec::new());
    // Every other part of the text stands between fences; those with a language are for a shell.
    for block in chapter.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix('\n')) {
        for line in block.lines().filter(|line| *line != "…") {
            match line.strip_prefix("demo-store").and_then(|line| line.split_once("> ")) {
                Some((_, typed)) => asked += &format!("{typed}\n"),
                None => shown.push(line),
            }
        }
    }
    assert!(asked.lines().count() >= 7 && shown.len() > 30, "{asked}{shown:#?}");
    assert!(asked.contains("\\plot") && asked.contains("\\actor"), "{asked}");

    let folder = Folder::new();
    folder.run(&["demo", "demo-store"]).ok();
    let said = folder.run_with(&["demo-store/"], asked.as_bytes()).ok();
    let mut answered = said.out.lines();
    for line in shown {
        assert!(
            answered.any(|answer| answer == line),
            "{line:?} is not answered, or not there:\n{}",
            said.out
        );
    }
}
