//! The few things of libtorch that tch does not reach, through a little C++, and kernels where libtorch's are slow.

mod counter;
mod kernels;
mod trace;

pub use counter::{count_operators, keep_memory, return_memory};
pub use kernels::{depthwise, join, lanes, pool, pool_norm, sum};
pub use trace::{Argument, Traced, TracedNode, TracedValue, is_tracing, trace};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW, Symbol};
use std::ffi::{CStr, c_char, c_int};

unsafe extern "C" {
    fn naslab_torch_version() -> *const c_char;
    fn naslab_loaded_torch(version: *mut c_char, path: *mut c_char, room: usize);
    fn naslab_device_peaks(device_index: i8, out: *mut i64) -> bool;
    fn naslab_forbid_tf32() -> bool;
    fn naslab_reset_device_peaks(device_index: i8) -> bool;
}

/// A function that ends what has begun, called also after a panic. It takes nothing and lets no exception out.
struct AtEnd(unsafe extern "C" fn());

impl Drop for AtEnd {
    fn drop(&mut self) {
        // SAFETY: what the function ends has begun.
        unsafe { (self.0)() }
    }
}

/// The CUDA part of libtorch. The linker drops it from a plain build, so it is loaded by name.
const CUDA_LIBRARY: &str = "libtorch_cuda.so";

/// Peaks of the device allocator, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevicePeaks {
    /// Handed out to tensors.
    pub allocated: u64,
    /// Held by the allocator.
    pub reserved: u64,
}

/// Version of libtorch that this program was built against, such as `2.11.0`.
pub fn libtorch_version() -> String {
    // SAFETY: the function returns a string literal.
    unsafe { CStr::from_ptr(naslab_torch_version()) }.to_string_lossy().into_owned()
}

/// Refuses another libtorch than the one that this program was built against: `LD_LIBRARY_PATH` may lead to one, whose numbers would be recorded as those of this one, if it did not crash.
///
/// # Errors
/// Both versions, and the file that was loaded.
pub fn check_loaded() -> Result<(), String> {
    let (mut version, mut path) = ([0u8; 4096], [0u8; 4096]);
    // SAFETY: the function writes at most as many bytes as it is told into each, the closing zeros included, and lets no exception out.
    unsafe { naslab_loaded_torch(version.as_mut_ptr().cast(), path.as_mut_ptr().cast(), version.len()) };
    let text = |bytes: &[u8]| CStr::from_bytes_until_nul(bytes).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default();
    let (loaded, path, built) = (text(&version), text(&path), libtorch_version());
    // A build of one's own may add a suffix, such as 2.11.0a0+git1234567, or say nothing.
    let number = |text: &str| text.split(|c: char| c != '.' && !c.is_ascii_digit()).next().unwrap_or_default().to_string();
    if loaded.is_empty() || number(&loaded) == number(&built) {
        return Ok(());
    }
    Err(format!(
        "this naslab was built against libtorch {built}, and libtorch {loaded} was loaded from {path}; unset LD_LIBRARY_PATH, or let it lead to {built}"
    ))
}

/// Loads the CUDA part of libtorch for the life of the process. The error says why it cannot be used.
pub fn load_cuda() -> Result<(), String> {
    // SAFETY: libtorch's initialisers may run at any time before CUDA is first used, and the library is never unloaded.
    let library = unsafe { Library::open(Some(CUDA_LIBRARY), RTLD_NOW | RTLD_GLOBAL) }.map_err(|e| {
        let text = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
        let absent = text.starts_with(CUDA_LIBRARY);
        if absent { format!("this libtorch has no {CUDA_LIBRARY}") } else { format!("{CUDA_LIBRARY} cannot be loaded: {text}") }
    })?;
    std::mem::forget(library);
    Ok(())
}

/// Has cards calculate in single precision as it is: libtorch would round the factors of convolutions to TF32. False if it does not obey.
pub fn forbid_tf32() -> bool {
    // SAFETY: the function sets flags of libtorch and lets no exception out.
    unsafe { naslab_forbid_tf32() }
}

/// Peaks of CUDA device `index` since the last reset; `None` where there is no such allocator.
pub fn device_peaks(index: usize) -> Option<DevicePeaks> {
    let mut out = [0i64; 2];
    // SAFETY: the function writes two integers, for which `out` has room, and lets no exception out.
    let measured = unsafe { naslab_device_peaks(i8::try_from(index).ok()?, out.as_mut_ptr()) };
    measured.then_some(DevicePeaks { allocated: out[0].max(0) as u64, reserved: out[1].max(0) as u64 })
}

/// Address on the PCI bus of CUDA device `index`, such as `0000:3b:00.0`. It names the card to NVML, which counts cards in another order and
/// does not know `CUDA_VISIBLE_DEVICES`. `None` where there is no such device.
pub fn pci_address(index: usize) -> Option<String> {
    let index = c_int::try_from(index).ok()?;
    let mut text = [0u8; 32];
    // SAFETY: the symbol, where present, is the CUDA runtime's `cudaDeviceGetPCIBusId(char *, int, int)`, which writes at most as many bytes
    // as it is told, the closing zero included.
    let status = unsafe {
        let address: Symbol<unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int> =
            Library::this().get(b"cudaDeviceGetPCIBusId\0").ok()?;
        address(text.as_mut_ptr().cast(), text.len() as c_int, index)
    };
    let text = CStr::from_bytes_until_nul(&text).ok()?.to_str().ok()?;
    (status == 0 && !text.is_empty()).then(|| text.to_string())
}

/// Starts the peaks of CUDA device `index` anew; false where there is no such allocator.
pub fn reset_device_peaks(index: usize) -> bool {
    // SAFETY: the function takes a plain number and lets no exception out.
    i8::try_from(index).is_ok_and(|index| unsafe { naslab_reset_device_peaks(index) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_that_tch_needs() {
        assert_eq!(libtorch_version(), "2.11.0");
        check_loaded().unwrap();
    }

    #[test]
    fn tf32_is_off_once_it_is_forbidden() {
        assert!(forbid_tf32());
    }

    #[test]
    fn without_a_card_nothing_is_measured_and_nothing_crashes() {
        if load_cuda().is_ok() && tch::Cuda::is_available() {
            assert!(reset_device_peaks(0));
            assert!(device_peaks(0).is_some());
            assert!(pci_address(0).is_some_and(|a| a.contains(':')));
        } else {
            assert_eq!(device_peaks(0), None);
            assert_eq!(pci_address(0), None);
            assert!(!reset_device_peaks(0));
        }
    }
}
