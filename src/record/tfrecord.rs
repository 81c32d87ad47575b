//! TensorBoard's files: records with their length and checksums (TFRecord), each a protocol buffer `Event` (TensorFlow's `event.proto` and
//! `summary.proto`; only what is written here).

use super::messages;
use prost::Message;

/// Content of the first record of every file.
const VERSION: &str = "brain.Event:2";
/// Kind of a tensor of texts: `DataType.DT_STRING`.
const TEXT: i32 = 7;

messages! {
    /// A record, `wall_time` in seconds since 1970.
    Entry {
        wall_time: f64 = (double, tag = "1"),
        step: i64 = (int64, tag = "2"),
        file_version: Option<String> = (string, optional, tag = "3"),
        summary: Option<Summary> = (message, optional, tag = "5"),
    }

    /// Values by tag.
    Summary {
        value: Vec<Value> = (message, repeated, tag = "1"),
    }

    /// A number, which is present also where it is 0, or something else.
    Value {
        tag: String = (string, tag = "1"),
        simple_value: Option<f32> = (float, optional, tag = "2"),
        tensor: Option<Tensor> = (message, optional, tag = "8"),
        metadata: Option<Metadata> = (message, optional, tag = "9"),
    }

    /// Texts.
    Tensor {
        dtype: i32 = (int32, tag = "1"),
        tensor_shape: Option<Shape> = (message, optional, tag = "2"),
        string_val: Vec<Vec<u8>> = (bytes = "vec", repeated, tag = "8"),
    }

    /// Without dimensions: of a single value.
    Shape {}

    /// What shows a value.
    Metadata {
        plugin_data: Option<Plugin> = (message, optional, tag = "1"),
    }

    /// A part of TensorBoard.
    Plugin {
        plugin_name: String = (string, tag = "1"),
    }
}

/// The record that begins a file.
pub fn version(wall_time: f64) -> Vec<u8> {
    framed(&Entry { wall_time, file_version: Some(VERSION.into()), ..Entry::default() })
}

/// A record of numbers by tag. A file holds them in single precision.
pub fn numbers(wall_time: f64, step: i64, numbers: &[(String, f64)]) -> Vec<u8> {
    let value = |(tag, number): &(String, f64)| Value { tag: tag.clone(), simple_value: Some(*number as f32), ..Value::default() };
    let summary = Summary { value: numbers.iter().map(value).collect() };
    framed(&Entry { wall_time, step, summary: Some(summary), ..Entry::default() })
}

/// A record of a text, which TensorBoard reads as Markdown.
pub fn text(wall_time: f64, tag: &str, text: &str) -> Vec<u8> {
    let tensor = Tensor { dtype: TEXT, tensor_shape: Some(Shape {}), string_val: vec![text.as_bytes().to_vec()] };
    let metadata = Metadata { plugin_data: Some(Plugin { plugin_name: "text".into() }) };
    let value = Value { tag: tag.into(), simple_value: None, tensor: Some(tensor), metadata: Some(metadata) };
    framed(&Entry { wall_time, summary: Some(Summary { value: vec![value] }), ..Entry::default() })
}

/// Length, its checksum, content, its checksum.
fn framed(entry: &Entry) -> Vec<u8> {
    let content = entry.encode_to_vec();
    let length = (content.len() as u64).to_le_bytes();
    [&length[..], &masked(&length).to_le_bytes(), &content, &masked(&content).to_le_bytes()].concat()
}

/// CRC-32C, turned by 15 bits and shifted by a constant, since a checksum over data that hold checksums is weak.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_and_frames_are_those_of_the_format() {
        // The check value of CRC-32C.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        // The first record of a file that TensorFlow itself wrote at time 0 would be these bytes: field 1 is left out where it is 0.
        let record = version(0.0);
        assert_eq!(record[..8], 15u64.to_le_bytes());
        assert_eq!(record[8..12], masked(&record[..8]).to_le_bytes());
        assert_eq!(&record[12..27], b"\x1a\x0dbrain.Event:2");
        assert_eq!(record.len(), 31);
    }

    #[test]
    fn a_zero_is_written() {
        let record = numbers(1.0, 3, &[("a".to_string(), 0.0)]);
        let entry = Entry::decode(&record[12..record.len() - 4]).unwrap();
        let summary = entry.summary.unwrap();
        assert_eq!((entry.wall_time, entry.step, summary.value[0].simple_value), (1.0, 3, Some(0.0)));
    }
}
