//! The one thread that writes: takes what has gathered, makes it safe, and reports it.
//!
//! While it waits for the disk, more gathers: so many publishers share one fsync. A write that fails is done again,
//! without end and at the same place; publishers wait meanwhile. Must never report what it has not written.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

use super::folder::{Folder, Segment};
use crate::{
    limits,
    mqtt::{
        core::Batch,
        shared::{Shared, Work},
    },
};

/// The open files.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: Folder,
    segment: Option<File>,
    segment_bytes: u64,
    next_number: u64,
    retained: Option<File>,
    retained_bytes: u64,
}

impl Journal {
    /// `retained_bytes` is where the complete part of the file of retained messages ends.
    pub(crate) fn new(folder: Folder, retained_bytes: u64) -> Self {
        let next_number = folder.segments().last().map_or(1, |last| last.number + 1);
        Self {
            folder,
            segment: None,
            segment_bytes: 0,
            next_number,
            retained: None,
            retained_bytes,
        }
    }

    /// Makes a batch safe. After a failure the same batch can be given again.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn append(&mut self, batch: &Batch) -> io::Result<()> {
        if !batch.retained.is_empty() || batch.replaces_retained {
            self.append_retained(batch)?;
        }
        if let Some(base_offset) = batch.begins_segment {
            return self.begin_segment(base_offset, batch);
        }
        let Some(file) = &self.segment else {
            return Err(io::Error::other("the first batch begins a segment"));
        };
        file.write_all_at(&batch.bytes, self.segment_bytes)?;
        if batch.must_sync {
            file.sync_data()?;
        }
        self.segment_bytes += batch.bytes.len() as u64;
        if let Some(last) = self.folder.segments().last_mut() {
            last.bytes = self.segment_bytes;
        }
        Ok(())
    }

    fn begin_segment(&mut self, base_offset: u64, batch: &Batch) -> io::Result<()> {
        if let Some(file) = &self.segment {
            // What was not worth waiting for before must not be missing before what follows.
            file.sync_data()?;
        }
        let number = self.next_number;
        let path = self.folder.segment_path(number);
        let file = File::options().create(true).write(true).truncate(true).open(path)?;
        file.write_all_at(&batch.bytes, 0)?;
        file.sync_all()?;
        self.folder.sync()?;
        self.next_number += 1;
        self.segment = Some(file);
        self.segment_bytes = batch.bytes.len() as u64;
        self.folder.segments().push(Segment {
            number,
            base_offset,
            bytes: self.segment_bytes,
        });
        Ok(())
    }

    fn append_retained(&mut self, batch: &Batch) -> io::Result<()> {
        let path = self.folder.retained();
        if batch.replaces_retained {
            let fresh = path.with_extension("tmp");
            let file = File::options().create(true).write(true).truncate(true).open(&fresh)?;
            file.write_all_at(&batch.retained, 0)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            self.folder.sync()?;
            self.retained = Some(file);
            self.retained_bytes = batch.retained.len() as u64;
            return Ok(());
        }
        if self.retained.is_none() {
            let file = File::options().create(true).write(true).truncate(false).open(&path)?;
            // A record that a crash cut off would hide what follows it.
            file.set_len(self.retained_bytes)?;
            self.folder.sync()?;
            self.retained = Some(file);
        }
        let file = self.retained.as_ref().expect("it was opened above");
        file.write_all_at(&batch.retained, self.retained_bytes)?;
        file.sync_data()?;
        // Counted only now, so that a failed batch is written over. A batch that fails later is written twice, and the
        // newest record of a topic counts.
        self.retained_bytes += batch.retained.len() as u64;
        Ok(())
    }

    /// Deletes the segments that hold only messages below the offset.
    pub(crate) fn remove_below(&self, offset: u64) {
        let removed: Vec<Segment> = {
            let mut segments = self.folder.segments();
            let is_needed = |pair: &[Segment]| pair[1].base_offset > offset;
            let count = segments.windows(2).take_while(|pair| !is_needed(pair)).count();
            segments.drain(..count).collect()
        };
        if removed.is_empty() {
            return;
        }
        // The positions that make them needless must not be lost to a power cut that finds them deleted.
        if let Some(Err(error)) = self.segment.as_ref().map(File::sync_data) {
            tracing::warn!(%error, "the MQTT broker keeps files that it needs no more until its next start");
            return;
        }
        for segment in removed {
            let path = self.folder.segment_path(segment.number);
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "cannot remove a file that the MQTT broker needs no more: remove it by hand after a stop");
            }
        }
    }

    fn disk_is_low(&self) -> bool {
        // Where the question cannot be answered, writing will tell.
        rustix::fs::statvfs(self.folder.path())
            .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < limits::MQTT_FREE_BYTES_MIN)
    }
}

/// Writes until the broker stops; then everything is on disk.
pub(crate) fn run(mut journal: Journal, shared: &Shared) {
    let mut watch = Watch::new();
    loop {
        let work = shared.wait_for_work();
        let (batch, is_last) = match work {
            Work::Batch(batch) => (Some(batch), false),
            Work::Last(batch) => (Some(batch), true),
            Work::Idle { needed_from } => {
                journal.remove_below(needed_from);
                (None, false)
            }
        };
        if let Some(batch) = batch {
            if !append_at_last(&mut journal, &batch, shared) {
                return;
            }
            if let Some(offset) = batch.needed_from {
                journal.remove_below(offset);
            }
            let stored_bytes = journal.folder.stored_bytes();
            shared.with(|broker, _| broker.committed(batch, stored_bytes));
        }
        if is_last {
            return;
        }
        if watch.is_due() {
            let (stored_bytes, disk_is_low) = (journal.folder.stored_bytes(), journal.disk_is_low());
            let (fullness, dropped) = shared.with(|broker, now| {
                broker.set_disk(stored_bytes, disk_is_low);
                broker.tick(now);
                (broker.fullness(), broker.take_dropped_counts())
            });
            watch.report(&journal, fullness, dropped);
        }
    }
}

/// Tries until the batch is safe. A broker that is to stop gives up, false: nobody was told that the batch is safe.
fn append_at_last(journal: &mut Journal, batch: &Batch, shared: &Shared) -> bool {
    let mut failures = 0_u32;
    while let Err(error) = journal.append(batch) {
        if failures.is_multiple_of(60) {
            let path = journal.folder.path().display();
            tracing::error!(%path, %error, "the MQTT broker cannot write, and its publishers wait: make room on the disk");
        }
        failures += 1;
        if shared.is_stopping() {
            return false;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    if failures > 0 {
        tracing::info!("the MQTT broker can write again");
    }
    true
}

/// What is looked at now and then.
struct Watch {
    next: Instant,
    next_report: Instant,
    was_full: bool,
    dropped: (u64, u64),
}

impl Watch {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            next: now,
            next_report: now,
            was_full: false,
            dropped: (0, 0),
        }
    }

    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let is_due = now >= self.next;
        if is_due {
            self.next = now + limits::MQTT_TICK;
        }
        is_due
    }

    fn report(&mut self, journal: &Journal, fullness: Option<crate::mqtt::core::Fullness>, dropped: (u64, u64)) {
        self.dropped.0 += dropped.0;
        self.dropped.1 += dropped.1;
        if fullness.is_none() && self.was_full {
            self.was_full = false;
            tracing::info!("the MQTT broker's store has room again: publishers go on");
        }
        let now = Instant::now();
        if now < self.next_report {
            return;
        }
        self.next_report = now + limits::MQTT_REPORT_INTERVAL;
        if let Some(fullness) = fullness {
            self.was_full = true;
            let path = journal.folder.path().display();
            let (client_id, stored_bytes) = (&fullness.client_id, fullness.stored_bytes);
            let disk_is_low = fullness.disk_is_low;
            tracing::warn!(%path, %client_id, stored_bytes, disk_is_low, "the MQTT broker's store is full, and publishers with QoS 1 and 2 wait: let this client read on, end its session (connect once with a clean start), or make room on the disk");
        }
        let (qos0_count, too_large_count) = std::mem::take(&mut self.dropped);
        if qos0_count > 0 {
            tracing::warn!(qos0_count, "dropped messages of QoS 0 for clients that read too slowly");
        }
        if too_large_count > 0 {
            tracing::warn!(
                too_large_count,
                "did not send messages that are larger than their readers take"
            );
        }
    }
}
