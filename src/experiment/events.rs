//! TensorBoard event files: scalars by update, in the format that TensorBoard reads while it is written.
//!
//! A file is a sequence of records (TensorFlow's `TFRecord`): length, its checksum, the bytes of an `Event` message, their
//! checksum. Only scalars are written, so the few fields needed are encoded here; the crates that do so bring an
//! outdated protobuf along.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{Error, Result};

/// A scalar of an event file.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    /// Update it belongs to.
    pub step: u64,
    /// What it is, such as `evaluation/score`.
    pub tag: String,
    /// Its value.
    pub value: f32,
}

/// An event file that grows.
#[derive(Debug)]
pub struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// Name of the file in its folder; TensorBoard knows it by `tfevents`.
    pub const NAME: &str = "events.out.tfevents.gta";

    /// Opens the file in `folder`, and cuts off what is torn or belongs to an update after `last`: a run that goes on
    /// from its checkpoint writes those again.
    ///
    /// # Errors
    /// Where the file cannot be read or written.
    pub fn open(folder: &Path, last: u64) -> Result<Self> {
        let path = folder.join(Self::NAME);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::io(&path)(error)),
        };
        let mut kept = 0;
        while let Some((event, end)) = record(&bytes, kept)
            && scalars(event).is_none_or(|scalars| scalars.iter().all(|scalar| scalar.step <= last))
        {
            kept = end;
        }
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(Error::io(&path))?;
        file.set_len(kept as u64).map_err(Error::io(&path))?;
        drop(file);
        // Appending, so that whoever reads the file meanwhile sees it grow.
        let file = OpenOptions::new().append(true).open(&path).map_err(Error::io(&path))?;
        let mut events = Self { file, path };
        if kept == 0 {
            // Field 3: the version, which a reader checks first.
            let mut event = header(0);
            field_bytes(&mut event, 3, b"brain.Event:2");
            events.append(&event)?;
        }
        Ok(events)
    }

    /// Appends scalars of one update; those that are not finite are written as they are, and TensorBoard marks them.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write<'a>(&mut self, step: u64, values: impl IntoIterator<Item = (&'a str, f64)>) -> Result<()> {
        let mut summary = Vec::new();
        for (tag, value) in values {
            let mut one = Vec::new();
            field_bytes(&mut one, 1, tag.as_bytes());
            // Field 2, four bytes: simple_value.
            one.push(2 << 3 | 5);
            one.extend((value as f32).to_le_bytes());
            field_bytes(&mut summary, 1, &one);
        }
        let mut event = header(step);
        field_bytes(&mut event, 5, &summary);
        self.append(&event)
    }

    fn append(&mut self, event: &[u8]) -> Result<()> {
        let length = (event.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(event.len() + 16);
        record.extend(length);
        record.extend(masked(crc32c(&length)).to_le_bytes());
        record.extend(event);
        record.extend(masked(crc32c(event)).to_le_bytes());
        self.file.write_all(&record).map_err(Error::io(&self.path))
    }

    /// All scalars of a file, in order, up to the first torn record.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn read(path: &Path) -> Result<Vec<Scalar>> {
        let bytes = fs::read(path).map_err(Error::io(path))?;
        let (mut at, mut all) = (0, Vec::new());
        while let Some((event, end)) = record(&bytes, at) {
            all.extend(scalars(event).unwrap_or_default());
            at = end;
        }
        Ok(all)
    }
}

/// An event of now (field 1, eight bytes) at an update (field 2).
fn header(step: u64) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let mut event = vec![1 << 3 | 1];
    event.extend(now.to_le_bytes());
    event.push(2 << 3);
    varint(&mut event, step);
    event
}

fn field_bytes(to: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    to.push(field << 3 | 2);
    varint(to, bytes.len() as u64);
    to.extend(bytes);
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// The event in the record at `start`, and where the record ends; nothing where it is torn or damaged.
fn record(bytes: &[u8], start: usize) -> Option<(&[u8], usize)> {
    let length = bytes.get(start..start + 8)?;
    let checksum = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    if masked(crc32c(length)) != checksum(start + 8)? {
        return None;
    }
    let size = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
    let end = (start + 12).checked_add(size)?;
    let event = bytes.get(start + 12..end)?;
    (masked(crc32c(event)) == checksum(end)?).then_some((event, end + 4))
}

/// A field of a protobuf message.
enum Field<'a> {
    Varint(u64),
    Fixed(&'a [u8]),
    Bytes(&'a [u8]),
}

/// Reads one field from the front of `message`.
fn field<'a>(message: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let key = read_varint(message)?;
    let mut take = |count: usize| {
        let (taken, rest) = message.split_at_checked(count)?;
        *message = rest;
        Some(taken)
    };
    let value = match key & 7 {
        0 => Field::Varint(read_varint(message)?),
        1 => Field::Fixed(take(8)?),
        5 => Field::Fixed(take(4)?),
        2 => {
            let count = usize::try_from(read_varint(message)?).ok()?;
            let (taken, rest) = message.split_at_checked(count)?;
            *message = rest;
            Field::Bytes(taken)
        }
        _ => return None,
    };
    Some((key >> 3, value))
}

fn read_varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// The scalars of an event; nothing where it holds none.
fn scalars(mut event: &[u8]) -> Option<Vec<Scalar>> {
    let (mut step, mut summary) = (0, None);
    while !event.is_empty() {
        match field(&mut event)? {
            (2, Field::Varint(value)) => step = value,
            (5, Field::Bytes(bytes)) => summary = Some(bytes),
            _ => {}
        }
    }
    let (mut summary, mut all) = (summary?, Vec::new());
    while !summary.is_empty() {
        let (_, Field::Bytes(mut one)) = field(&mut summary)? else { continue };
        let mut scalar = Scalar { step, tag: String::new(), value: f32::NAN };
        while !one.is_empty() {
            match field(&mut one)? {
                (1, Field::Bytes(tag)) => scalar.tag = String::from_utf8_lossy(tag).into_owned(),
                (2, Field::Fixed(bytes)) => scalar.value = f32::from_le_bytes(bytes.try_into().ok()?),
                _ => {}
            }
        }
        all.push(scalar);
    }
    Some(all)
}

/// CRC-32C (Castagnoli, reflected): one table of 256 remainders.
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let (mut remainder, mut bit) = (byte as u32, 0);
            while bit < 8 {
                remainder = if remainder & 1 == 1 { remainder >> 1 ^ 0x82F6_3B78 } else { remainder >> 1 };
                bit += 1;
            }
            table[byte] = remainder;
            byte += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, &byte| TABLE[((crc ^ u32::from(byte)) & 0xFF) as usize] ^ crc >> 8)
}

/// Checksums of data that may hold checksums are masked, so that they do not cancel.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xA282_EAD8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, appendix B.4: 32 bytes of zeros, of ones, and counting up; and the usual check value.
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c(&[0xFF; 32]), 0x62A8_AB43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46DD_794E);
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn what_is_written_is_read_and_cut_at_an_update() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(EventFile::NAME);
        let mut events = EventFile::open(folder.path(), 0).unwrap();
        for step in [1, 200, 70_000] {
            events.write(step, [("loss", 0.5 * step as f64), ("evaluation/score", f64::NAN)]).unwrap();
        }
        let scalars = EventFile::read(&path).unwrap();
        assert_eq!(scalars.len(), 6);
        assert_eq!(scalars[4], Scalar { step: 70_000, tag: "loss".into(), value: 35_000.0 });
        assert!(scalars[5].value.is_nan());
        // A torn record at the end does not count.
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        assert_eq!(EventFile::read(&path).unwrap().len(), 4);
        // Going on after update 1.
        let mut events = EventFile::open(folder.path(), 1).unwrap();
        events.write(2, [("loss", 7.0)]).unwrap();
        let steps: Vec<u64> = EventFile::read(&path).unwrap().iter().map(|scalar| scalar.step).collect();
        assert_eq!(steps, [1, 1, 2]);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::open(folder.path(), 0).unwrap();
        events.write(3, [("a", 1.0)]).unwrap();
        let path = folder.path().join(EventFile::NAME);
        let whole = fs::read(&path).unwrap();
        for position in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[position] ^= 0x55;
            fs::write(&path, &damaged).unwrap();
            assert!(EventFile::read(&path).unwrap().len() <= 1);
            let _ = scalars(&damaged[position..]);
        }
    }
}
