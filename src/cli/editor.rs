//! A text that a person changes in an editor of their choice.
//!
//! In: a text, and the name of its file. Out: the text as it was saved. The file is in a folder that only its owner can enter, and is
//! removed with it, unless it is kept: no other user reads row values, and nothing that was typed is lost.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{anyhow, bail};
use uuid::Uuid;

/// The editor that a person has chosen.
pub(super) fn chosen() -> Option<String> {
    let of = |name| std::env::var(name).ok().filter(|editor: &String| !editor.trim().is_empty());
    of("VISUAL").or_else(|| of("EDITOR"))
}

/// A text in a file, while it is edited.
pub(super) struct EditedFile {
    folder: PathBuf,
    path: PathBuf,
    is_kept: bool,
}

impl EditedFile {
    pub(super) fn create(name: &str, text: &str) -> anyhow::Result<EditedFile> {
        let folder = std::env::temp_dir().join(format!("rowhook-{}", Uuid::new_v4()));
        let path = folder.join(name);
        let failed = |error| anyhow!("{}: {error}", path.display());
        DirBuilder::new().mode(0o700).create(&folder).map_err(failed)?;
        let file = EditedFile { folder, path: path.clone(), is_kept: false };
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        opened.and_then(|mut opened| opened.write_all(text.as_bytes())).map_err(failed)?;
        Ok(file)
    }

    /// Opens the file in the editor, which may be a command with options, and waits for its end. Returns what was saved.
    pub(super) fn edit(&self, editor: &str) -> anyhow::Result<Vec<u8>> {
        let run = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(&self.path).status();
        let status = run.map_err(|error| anyhow!("editor {editor}: {error}"))?;
        if !status.success() {
            bail!("the editor {editor} ended with {status}: nothing was changed");
        }
        fs::read(&self.path).map_err(|error| anyhow!("{}: {error}", self.path.display()))
    }

    /// Leaves the file where it is.
    pub(super) fn keep(&mut self) -> &Path {
        self.is_kept = true;
        &self.path
    }
}

impl Drop for EditedFile {
    fn drop(&mut self) {
        if !self.is_kept {
            // The folder is closed to others, should it stay.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_text_is_edited_in_a_file_of_its_owner_that_goes_unless_it_is_kept() {
        let mut file = EditedFile::create("body.json", "{\"a\": 1}").expect("created");
        let (folder, path) = (file.folder.clone(), file.path.clone());
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&path)), (0o700, 0o600));
        assert_eq!(file.edit("sed -i s/1/2/").expect("edited"), b"{\"a\": 2}");
        let error = file.edit("false").expect_err("it says no").to_string();
        assert!(error.contains("the editor false ended with"), "{error}");
        file.keep();
        drop(file);
        assert!(path.exists());
        fs::remove_dir_all(&folder).expect("removed");
        let file = EditedFile::create("body.json", "").expect("created");
        let folder = file.folder.clone();
        drop(file);
        assert!(!folder.exists());
    }
}
