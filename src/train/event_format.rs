//! TensorBoard's event files: protobuf messages in records with checksums.
//!
//! A record is the length of its message (u64, little-endian), a checksum of these eight bytes, the message, and a
//! checksum of the message. A checksum is CRC-32C, rotated and shifted, so that a checksum of data that hold checksums
//! stays one. Only the fields that a scalar needs are declared; readers skip what is absent.

use crc::{CRC_32_ISCSI, Crc};
use prost::Message;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// What is added to a checksum after its rotation.
const MASK: u32 = 0xa282_ead8;

/// The first event's version: readers refuse others.
const VERSION: &str = "brain.Event:2";

/// A point in the file.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    /// The step.
    #[prost(int64, tag = "2")]
    pub step: i64,
    /// In the first event alone.
    #[prost(string, optional, tag = "3")]
    pub file_version: Option<String>,
    /// In all others.
    #[prost(message, optional, tag = "5")]
    pub summary: Option<Summary>,
}

/// What is known at a step.
#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    /// One for each name.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<Scalar>,
}

/// A number with its name.
#[derive(Clone, PartialEq, Message)]
pub struct Scalar {
    /// The name; groups end with a slash.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// The number.
    #[prost(float, optional, tag = "2")]
    pub number: Option<f32>,
}

impl Event {
    /// The event that a file begins with.
    pub fn first(wall_time: f64) -> Self {
        Self { wall_time, file_version: Some(VERSION.into()), ..Self::default() }
    }

    /// The numbers of a step.
    pub fn scalars(wall_time: f64, step: i64, numbers: impl IntoIterator<Item = (&'static str, f64)>) -> Self {
        let scalar = |(tag, number): (&str, f64)| Scalar { tag: tag.into(), number: Some(number as f32) };
        let summary = Summary { values: numbers.into_iter().map(scalar).collect() };
        Self { wall_time, step, summary: Some(summary), ..Self::default() }
    }

    /// The event as a record.
    pub fn record(&self) -> Vec<u8> {
        let message = self.encode_to_vec();
        let length = (message.len() as u64).to_le_bytes();
        [&length[..], &checksum(&length), &message, &checksum(&message)].concat()
    }
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    CRC.checksum(bytes).rotate_right(15).wrapping_add(MASK).to_le_bytes()
}

/// The events of a whole file; for tests.
#[cfg(test)]
pub fn read(mut bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
        let (sum, rest) = rest.split_first_chunk::<4>().unwrap();
        assert_eq!(*sum, checksum(length), "the length's checksum");
        let (message, rest) = rest.split_at(u64::from_le_bytes(*length) as usize);
        let (sum, rest) = rest.split_first_chunk::<4>().unwrap();
        assert_eq!(*sum, checksum(message), "the message's checksum");
        events.push(Event::decode(message).unwrap());
        bytes = rest;
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes and checksums as the `tensorboard` package from PyPI writes them.
    #[test]
    fn records_are_those_of_tensorboards_own_writer() {
        let record = Event::scalars(2.0, 7, [("a/b", 0.5)]).record();
        let hex = record.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex, EXPECTED);
        assert_eq!(read(&record), [Event::scalars(2.0, 7, [("a/b", 0.5)])]);
    }

    const EXPECTED: &str = "19000000000000008bf1082809000000000000004010072a0c0a0a0a03612f62150000003fd8752e44";
}
