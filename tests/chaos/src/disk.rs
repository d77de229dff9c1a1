//! A small disk of its own (a tmpfs), which can be filled and emptied. Needs the right to mount; where that is missing,
//! runs go without full disks and say so.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context, Result, bail};

use crate::limits;

/// Name of the file that takes all the room.
const FILLER: &str = "filler";

/// A mounted disk; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts an empty disk of this size at `path`, which is created.
    ///
    /// # Errors
    /// When this is not allowed here.
    pub fn mount(path: &Path, bytes: u64) -> Result<Self> {
        fs::create_dir_all(path)?;
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(path)
            .output()
            .context("cannot start `mount`")?;
        if !output.status.success() {
            bail!(
                "cannot mount a small disk: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Takes all the room that is left; the last of it in a few seconds, as a disk fills that others use too.
    ///
    /// # Errors
    /// When the disk does not become full.
    pub fn fill(&self) -> Result<()> {
        let mut file = fs::File::create(self.path.join(FILLER))?;
        let piece = vec![0_u8; 1 << 20];
        while self.free_bytes()? > limits::LAST_ROOM_BYTES {
            std::io::Write::write_all(&mut file, &piece)?;
        }
        thread::sleep(limits::LAST_ROOM_LASTS);
        for size in [piece.len(), 4096] {
            while std::io::Write::write_all(&mut file, &piece[..size]).is_ok() {}
        }
        match std::io::Write::write_all(&mut file, &[0; 1]) {
            Err(_) => Ok(()),
            Ok(()) => bail!("`{}` does not become full", self.path.display()),
        }
    }

    fn free_bytes(&self) -> Result<u64> {
        let disk = rustix::fs::statvfs(&self.path)?;
        Ok(disk.f_bavail * disk.f_frsize)
    }

    /// Gives the room back.
    pub fn empty(&self) {
        let _ = fs::remove_file(self.path.join(FILLER));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: who still has a file open keeps it until its end.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
