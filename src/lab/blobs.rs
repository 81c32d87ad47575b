//! Tensors as bytes and back.

use crate::error::{Result, resource};
use crate::record::{Blob, Dtype};
use tch::{Device, Kind, Tensor};

const KINDS: [(Kind, Dtype); 5] =
    [(Kind::Float, Dtype::F32), (Kind::Double, Dtype::F64), (Kind::Int64, Dtype::I64), (Kind::Uint8, Dtype::U8), (Kind::Bool, Dtype::BOOL)];

/// Copies a tensor to bytes.
pub fn to_blob(name: &str, tensor: &Tensor) -> Result<Blob> {
    let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
    let kind = tensor.kind();
    let (_, dtype) = KINDS.iter().find(|(k, _)| *k == kind).ok_or_else(|| resource!("{name}: cannot save tensors of kind {kind:?}"))?;
    let count = tensor.numel();
    let mut bytes = vec![0u8; count * kind.elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, count)?;
    Ok(Blob { name: name.to_string(), dtype: *dtype, shape: tensor.size().iter().map(|d| *d as usize).collect(), bytes })
}

/// Copies bytes to a tensor on `device`.
pub fn to_tensor(blob: &Blob, device: Device) -> Result<Tensor> {
    let (kind, _) = KINDS.iter().find(|(_, d)| *d == blob.dtype).expect("every dtype has a kind");
    let shape: Vec<i64> = blob.shape.iter().map(|d| *d as i64).collect();
    Ok(Tensor::f_from_data_size(&blob.bytes, &shape, *kind)?.to_device(device))
}
