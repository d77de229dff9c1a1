//! Reading the backlog of a session, page by page, beside the writer.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use super::{
    folder::{Folder, Segment},
    record::{HEADER_BYTES, Record},
};
use crate::{
    limits,
    mqtt::message::{Delivery, Message},
};

/// Where in the files an offset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) position: u64,
}

/// What a session wants to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageRequest {
    pub(crate) session: u64,
    pub(crate) from_offset: u64,
    pub(crate) place: Option<Place>,
    /// Where the safe part of the log ends.
    pub(crate) end_offset: u64,
}

/// Messages for a session, in order.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) deliveries: Vec<Delivery>,
    /// Everything below has been looked at.
    pub(crate) next_offset: u64,
    pub(crate) place: Option<Place>,
    bytes: usize,
}

impl Page {
    /// A page that begins where the request does.
    pub(crate) fn new(request: &PageRequest) -> Self {
        Self {
            next_offset: request.from_offset,
            ..Self::default()
        }
    }

    fn is_full(&self) -> bool {
        self.bytes >= limits::MQTT_PAGE_BYTES
    }
}

/// Why looking through bytes came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scanned {
    /// The page is full, or the safe part of the log ends.
    Enough,
    /// The bytes end, maybe within a record.
    BytesEnd,
    /// This is no record.
    Damage,
}

/// Looks through the records in `bytes`; returns how many bytes it has passed.
pub(crate) fn scan_page(bytes: &[u8], request: &PageRequest, page: &mut Page) -> (usize, Scanned) {
    let mut passed = 0;
    loop {
        if page.next_offset >= request.end_offset || page.is_full() {
            return (passed, Scanned::Enough);
        }
        let rest = &bytes[passed..];
        let length = match rest.first_chunk() {
            Some(length) => HEADER_BYTES + u32::from_le_bytes(*length) as usize,
            None => return (passed, Scanned::BytesEnd),
        };
        if length > limits::MQTT_RECORD_BYTES_MAX {
            return (passed, Scanned::Damage);
        }
        if rest.len() < length {
            return (passed, Scanned::BytesEnd);
        }
        let Ok(Some((record, _))) = Record::read(rest) else {
            return (passed, Scanned::Damage);
        };
        passed += length;
        let Record::Message(message) = record else { continue };
        if message.offset < request.from_offset {
            continue;
        }
        let target = message.targets.iter().find(|target| target.session == request.session);
        if let Some(target) = target {
            let delivery = Delivery::from_flags(Arc::new(Message::from_record(&message)), target.flags);
            page.bytes += delivery.message.bytes();
            page.deliveries.push(delivery);
        }
        page.next_offset = message.offset + 1;
    }
}

/// Reads a page. It may hold nothing for the session and yet have passed a part of the log.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn read_page(folder: &Folder, request: &PageRequest) -> io::Result<Page> {
    let mut page = Page::new(request);
    let mut read_bytes = 0;
    page.place = request.place;
    loop {
        let Some((at, next)) = locate(folder, page.next_offset, page.place) else {
            // Segments are deleted only when nobody needs them: the session is over.
            page.next_offset = request.end_offset;
            return Ok(page);
        };
        let file = File::open(folder.segment_path(at.segment))?;
        let (position, scanned) = scan_file(&file, at.position, request, &mut page, &mut read_bytes)?;
        page.place = Some(Place { position, ..at });
        if scanned == Scanned::Damage {
            let path = folder.segment_path(at.segment);
            let to_offset = next.map_or(request.end_offset, |next| next.base_offset);
            let from_offset = page.next_offset;
            tracing::error!(path = %path.display(), position, from_offset, to_offset, "the MQTT broker's log is damaged, and messages that it had acknowledged cannot be read: check the disk");
            page.next_offset = from_offset.max(to_offset);
        }
        match next {
            Some(next) if scanned != Scanned::Enough => {
                page.place = Some(Place {
                    segment: next.number,
                    position: 0,
                });
            }
            Some(_) | None => return Ok(page),
        }
        if read_bytes >= limits::MQTT_SCAN_BYTES_MAX {
            return Ok(page);
        }
    }
}

/// The place to read an offset at, and the segment after it.
fn locate(folder: &Folder, offset: u64, place: Option<Place>) -> Option<(Place, Option<Segment>)> {
    let segments = folder.segments();
    let known = place.and_then(|place| segments.iter().position(|segment| segment.number == place.segment));
    let index = match known {
        Some(index) => index,
        None => segments
            .iter()
            .rposition(|segment| segment.base_offset <= offset)
            .or((!segments.is_empty()).then_some(0))?,
    };
    let position = known.and(place).map_or(0, |place| place.position);
    let next = segments.get(index + 1).copied();
    let segment = segments[index].number;
    Some((Place { segment, position }, next))
}

/// Scans a file from a position on; returns where it came to.
fn scan_file(
    file: &File,
    mut position: u64,
    request: &PageRequest,
    page: &mut Page,
    read_bytes: &mut usize,
) -> io::Result<(u64, Scanned)> {
    let mut chunk = vec![0; limits::MQTT_SCAN_CHUNK_BYTES];
    loop {
        let filled = read_fully(file, &mut chunk, position)?;
        *read_bytes += filled;
        let (passed, scanned) = scan_page(&chunk[..filled], request, page);
        position += passed as u64;
        let is_end = filled < chunk.len();
        match scanned {
            Scanned::BytesEnd if !is_end && passed == 0 => {
                // A record larger than the chunk.
                let larger = chunk.len() * 2;
                chunk.resize(larger.min(limits::MQTT_RECORD_BYTES_MAX), 0);
            }
            Scanned::BytesEnd if !is_end && *read_bytes < limits::MQTT_SCAN_BYTES_MAX => {}
            Scanned::BytesEnd if !is_end => return Ok((position, Scanned::Enough)),
            Scanned::Enough | Scanned::BytesEnd | Scanned::Damage => return Ok((position, scanned)),
        }
    }
}

fn read_fully(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], position + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
