//! Repairs the ledger's files: if one of a commit's two files is missing or damaged, it is published
//! again, from the other.
//!
//! A damaged file is removed first, and in mode quarantine kept aside. A sound file of another commit is
//! always kept aside. If the process is killed in between, the commit has one file, which is enough to
//! read it.

use std::fs::File;

use super::recovery_state::Work;
use crate::error::{Error, Result};
use crate::ledger::{CommitNumber, Side, StoreId, complete_copies, read_commit_file};
use crate::maintain::commit_chain::{Chain, Unlike, walk};
use crate::maintain::inventory::is_file;

impl Work<'_> {
    /// Writes missing copies of commits.
    pub(super) fn complete_copies(&mut self) -> Result<()> {
        complete_copies(self.disk, &self.root.join("ledger"), usize::MAX).map(drop)
    }

    /// Repairs the files of commits. Returns the chain as it was found.
    pub(super) fn repair_commits(&mut self) -> Result<Chain> {
        let chain = walk(self.root, |_, _| {})?;
        for unlike in &chain.unlike {
            self.publish_again(unlike)?;
        }
        self.take_strays(&chain)?;
        if let Some(own) = chain.state.as_ref().map(|state| state.store) {
            chain.commits_of_another_store().iter().try_for_each(|number| self.move_foreign(*number, own))?;
        }
        Ok(chain)
    }

    /// Moves copies aside that are not commits, if the ledger is whole without them. If it is not, one of
    /// them may be the remainder of a commit.
    fn take_strays(&mut self, chain: &Chain) -> Result<()> {
        if !chain.adds_up {
            return Ok(());
        }
        let ledger = self.root.join("ledger");
        for stray in chain.strays.iter().filter(|stray| stray.is_unsound) {
            let place = Side::Copy.path(&ledger, stray.number);
            if is_file(&Side::Ledger.path(&ledger, stray.number))? || place.symlink_metadata().is_err() {
                continue;
            }
            let kept = self.aside.take(&place)?;
            self.put_aside(kept);
        }
        Ok(())
    }

    /// Moves the files of a commit of another store aside.
    fn move_foreign(&mut self, number: CommitNumber, own: StoreId) -> Result<()> {
        let ledger = self.root.join("ledger");
        for side in Side::BOTH {
            if matches!(read_commit_file(&ledger, side, number), Ok(Some((commit, _))) if commit.store != own)
            {
                let kept = self.aside.take(&side.path(&ledger, number))?;
                self.put_aside(kept);
                self.note(format!("{} belongs to another store, and was moved aside", side.name(number)));
            }
        }
        Ok(())
    }

    fn publish_again(&mut self, unlike: &Unlike) -> Result<()> {
        let Unlike { number, side, digest, is_commit } = unlike;
        let ledger = self.root.join("ledger");
        let (place, source) = (side.path(&ledger, *number), side.other().path(&ledger, *number));
        let name = side.name(*number);
        let attempt = |error| Error::io("publish again", &place, error);
        let bytes = std::fs::read(&source).map_err(|error| Error::io("read", &source, error))?;
        if blake3::hash(&bytes).to_hex().as_str() != digest {
            self.note(format!("{} has changed since the scan; {name} was left alone", source.display()));
            return Ok(());
        }
        // Held to the end: no reader may pin the file that is removed.
        let mut locked = None;
        match std::fs::symlink_metadata(&place) {
            Ok(found) if found.is_file() => {
                let file = File::open(&place).map_err(attempt)?;
                if file.try_lock().is_err() {
                    self.note(format!(
                        "a query is reading the store as of commit {number}, so {name} was left alone; recover again \
                         when it has ended"
                    ));
                    return Ok(());
                }
                locked = Some(file);
                if *is_commit || self.keeps_damaged {
                    let kept = self.aside.keep(&place)?;
                    self.put_aside(kept);
                }
                self.disk.remove(&place).map_err(attempt)?;
            }
            Ok(_) => {
                let kept = self.aside.take(&place)?;
                self.put_aside(kept);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(attempt(error)),
        }
        let temp = place.with_file_name(format!("{}.tmp", uuid::Uuid::new_v4().simple()));
        if *side == Side::Copy {
            self.make_ledger_folders()?;
        }
        self.disk.publish(&temp, &place, &bytes).map_err(attempt)?;
        drop(locked);
        self.repaired(&name);
        Ok(())
    }
}
