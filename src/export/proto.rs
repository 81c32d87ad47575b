//! The messages of an ONNX file that are written here, with the field numbers of `onnx.proto` (ONNX 1.12, IR version 8).

use crate::record::messages;

/// Kinds of numbers: `TensorProto.DataType`.
pub const FLOAT: i32 = 1;
pub const INT64: i32 = 7;

/// Kinds of attributes, which say where the value is: `AttributeProto.AttributeType`.
pub const FLOAT_ATTRIBUTE: i32 = 1;
pub const INT_ATTRIBUTE: i32 = 2;
pub const TEXT_ATTRIBUTE: i32 = 3;
pub const INTS_ATTRIBUTE: i32 = 7;

messages! {
    /// A file.
    Model {
        ir_version: i64 = (int64, tag = "1"),
        opset_import: Vec<OperatorSet> = (message, repeated, tag = "8"),
        producer_name: String = (string, tag = "2"),
        producer_version: String = (string, tag = "3"),
        graph: Option<Graph> = (message, optional, tag = "7"),
        metadata_props: Vec<Entry> = (message, repeated, tag = "14"),
    }

    /// Version of the operators; an empty domain is ONNX's own.
    OperatorSet {
        domain: String = (string, tag = "1"),
        version: i64 = (int64, tag = "2"),
    }

    /// A fact about the model.
    Entry {
        key: String = (string, tag = "1"),
        value: String = (string, tag = "2"),
    }

    /// Nodes in the order of their calculation.
    Graph {
        node: Vec<Node> = (message, repeated, tag = "1"),
        name: String = (string, tag = "2"),
        initializer: Vec<Tensor> = (message, repeated, tag = "5"),
        input: Vec<ValueInfo> = (message, repeated, tag = "11"),
        output: Vec<ValueInfo> = (message, repeated, tag = "12"),
    }

    /// One operator.
    Node {
        input: Vec<String> = (string, repeated, tag = "1"),
        output: Vec<String> = (string, repeated, tag = "2"),
        name: String = (string, tag = "3"),
        op_type: String = (string, tag = "4"),
        attribute: Vec<Attribute> = (message, repeated, tag = "5"),
    }

    /// A setting of an operator.
    Attribute {
        name: String = (string, tag = "1"),
        f: Option<f32> = (float, optional, tag = "2"),
        i: Option<i64> = (int64, optional, tag = "3"),
        s: Option<Vec<u8>> = (bytes = "vec", optional, tag = "4"),
        ints: Vec<i64> = (int64, repeated, packed = "false", tag = "8"),
        kind: i32 = (int32, tag = "20"),
    }

    /// Numbers, little-endian.
    Tensor {
        dims: Vec<i64> = (int64, repeated, packed = "false", tag = "1"),
        data_type: i32 = (int32, tag = "2"),
        name: String = (string, tag = "8"),
        raw_data: Vec<u8> = (bytes = "vec", tag = "9"),
    }

    /// An input or output.
    ValueInfo {
        name: String = (string, tag = "1"),
        value: Option<ValueKind> = (message, optional, tag = "2"),
        doc_string: String = (string, tag = "3"),
    }

    /// What kind of value: here always a tensor.
    ValueKind {
        tensor: Option<TensorKind> = (message, optional, tag = "1"),
    }

    /// Kind and shape of a tensor.
    TensorKind {
        elem_type: i32 = (int32, tag = "1"),
        shape: Option<Shape> = (message, optional, tag = "2"),
    }

    /// A shape.
    Shape {
        dim: Vec<Dimension> = (message, repeated, tag = "1"),
    }

    /// A size, or else a name for one that is free.
    Dimension {
        size: Option<i64> = (int64, optional, tag = "1"),
        free: Option<String> = (string, optional, tag = "2"),
    }
}
