//! The bridge between host rows and tensors, with the shape checks that tch leaves to a panic.

use tch::{Device, Kind, Tensor};

use crate::Result;

/// A tensor of `shape` on `device` holding a copy of `values`.
///
/// # Panics
/// If the number of values is not that of the shape: a mistake in this crate, never in user data.
pub(crate) fn from_host(values: &[f32], shape: &[i64], device: Device) -> Result<Tensor> {
    assert_eq!(values.len() as i64, shape.iter().product::<i64>(), "values for shape {shape:?}");
    Ok(Tensor::f_from_slice(values)?.f_reshape(shape)?.f_to_device(device)?)
}

/// `host` in memory from which a GPU copies by itself, where there is one; for the CPU it stays where it is.
pub(crate) fn pinned(host: Tensor, device: Device) -> Result<Tensor> {
    // LibTorch's `pin_memory` warns at each call when it is told the device, and the bindings always tell it.
    if device.is_cuda() { Ok(host.f_internal_pin_memory(device)?) } else { Ok(host) }
}

/// `pinned` on `device`: the copy is queued like any operation, so the host need not wait for a GPU.
pub(crate) fn queued(pinned: &Tensor, device: Device) -> Result<Tensor> {
    Ok(pinned.f_to_device_(device, pinned.kind(), true, false)?)
}

/// `host` on `device`, without waiting for it.
pub(crate) fn upload(host: Tensor, device: Device) -> Result<Tensor> {
    queued(&pinned(host, device)?, device)
}

/// The numbers of `tensor` in row-major order, as `f32` on the host.
pub(crate) fn to_host(tensor: &Tensor) -> Result<Vec<f32>> {
    let host = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
    let mut values = vec![0.0; host.numel()];
    host.f_copy_data(&mut values, host.numel())?;
    Ok(values)
}

/// The numbers of an f32 tensor that lies in the host's memory in one piece.
///
/// # Panics
/// If it is another tensor.
pub(crate) fn numbers(tensor: &Tensor) -> &[f32] {
    // SAFETY: as `pointer` has checked; no operation runs on the tensor while the slice is used: LibTorch's CPU operations
    // are done when they return, and this thread is the only one that writes it.
    unsafe { std::slice::from_raw_parts(pointer(tensor), tensor.numel()) }
}

/// The same, to change.
pub(crate) fn numbers_mut(tensor: &mut Tensor) -> &mut [f32] {
    // SAFETY: as above; handles that share the memory are not used while the slice is.
    unsafe { std::slice::from_raw_parts_mut(pointer(tensor), tensor.numel()) }
}

/// Whether [`numbers`] can be had of `tensor` once it is contiguous.
pub(crate) fn has_numbers(tensor: &Tensor) -> bool {
    tensor.device() == Device::Cpu && tensor.kind() == Kind::Float
}

fn pointer(tensor: &Tensor) -> *mut f32 {
    assert!(has_numbers(tensor) && tensor.is_contiguous(), "no whole f32 tensor in the host's memory: {tensor:?}");
    tensor.data_ptr().cast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_keeps_order_also_of_a_transposed_tensor() {
        let tensor = from_host(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3], Device::Cpu).unwrap();
        assert_eq!(to_host(&tensor).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(to_host(&tensor.tr()).unwrap(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }

    #[test]
    fn numbers_are_the_tensors_own() {
        let mut tensor = from_host(&[1.0, 2.0, 3.0, 4.0], &[2, 2], Device::Cpu).unwrap();
        numbers_mut(&mut tensor)[3] = 9.0;
        assert_eq!((numbers(&tensor), tensor.double_value(&[1, 1])), (&[1.0, 2.0, 3.0, 9.0][..], 9.0));
        for other in [tensor.tr(), tensor.to_kind(Kind::Double)] {
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| numbers(&other).len())).is_err());
        }
    }

    #[test]
    #[should_panic(expected = "values for shape")]
    fn a_wrong_shape_is_caught_before_libtorch_sees_it() {
        let _ = from_host(&[1.0; 5], &[2, 3], Device::Cpu);
    }
}
