//! Choosing and describing the device that does the arithmetic.

use crate::error::{Result, resource, usage};
use crate::memory::{self, field};
use crate::record::DeviceRecord;
use crate::shim;
use nvml_wrapper::Nvml;
use tch::{Cuda, Device};

/// Reads `auto`, `cpu`, `cuda` or `cuda:N`, and opens it. `auto` takes the first CUDA device if one can be used; a named device is never replaced
/// by another.
pub fn choose(text: &str) -> Result<Device> {
    if text == "auto" {
        return if cuda().is_ok() { open(Device::Cuda(0)) } else { Ok(Device::Cpu) };
    }
    if text.contains(',') || text.ends_with(":all") {
        return Err(usage!("'{text}' names several devices; this command takes one, such as cuda:0"));
    }
    open(
        parse(text).ok_or_else(|| {
            usage!("'{text}' is no device; the devices are auto, cpu, cuda and cuda:N, and to run cuda:0,1 and cuda:all too")
        })?,
    )
}

/// Reads `cuda:0,1,2`, `cuda:all` or, to try how work is placed, `cpu:0,1`, and opens them; `None` where one device is named. The first is where everything is done that is not side by side.
/// Each has a name of its own, such as `cuda:2`; those of a processor are shares of it.
///
/// # Errors
/// As [`choose`], and for a device that is named twice.
pub fn choose_several(text: &str) -> Result<Option<Vec<(String, Device)>>> {
    let Some((kind, list)) = text.split_once(':').filter(|(_, list)| list.contains(',') || *list == "all") else { return Ok(None) };
    let numbers: Vec<usize> = match (kind, list) {
        ("cuda", "all") => (0..cuda().map_err(|why| resource!("--device cuda:all: {why}; use --device cpu"))?).collect(),
        ("cuda" | "cpu", list) => list.split(',').map(|n| n.trim().parse()).collect::<std::result::Result<_, _>>().unwrap_or_default(),
        _ => Vec::new(),
    };
    let different = numbers.iter().collect::<std::collections::BTreeSet<_>>().len() == numbers.len();
    if numbers.is_empty() || !different {
        return Err(usage!("'{text}' names no devices; write cuda:0,1,2 or cuda:all, each card once"));
    }
    let one = |n: &usize| Ok((format!("{kind}:{n}"), open(if kind == "cpu" { Device::Cpu } else { Device::Cuda(*n) })?));
    numbers.iter().map(one).collect::<Result<_>>().map(Some)
}

/// Makes a device ready for work.
pub fn open(device: Device) -> Result<Device> {
    let Some(index) = card(device) else { return Ok(device) };
    let refuse = |why: String| resource!("--device {}: {why}; use --device cpu, or auto to take what there is", name(device));
    let devices = cuda().map_err(refuse)?;
    if !shim::forbid_tf32() {
        return Err(refuse("libtorch will not leave TF32 off".into()));
    }
    if index < devices { Ok(device) } else { Err(refuse(format!("there are {devices} CUDA devices, counted from 0"))) }
}

fn parse(text: &str) -> Option<Device> {
    match text {
        "cpu" => Some(Device::Cpu),
        "cuda" => Some(Device::Cuda(0)),
        _ => text.strip_prefix("cuda:")?.parse().ok().map(Device::Cuda),
    }
}

/// Name of this host.
pub fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or("unknown".into(), |text| text.trim().to_string())
}

/// As [`choose`] reads it.
pub fn name(device: Device) -> String {
    card(device).map_or_else(|| "cpu".into(), |index| format!("cuda:{index}"))
}

/// A device in a file, by its name.
pub mod by_name {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use tch::Device;

    /// Writes the name.
    pub fn serialize<S: Serializer>(device: &Device, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::name(*device))
    }

    /// Reads a name; the device is not opened.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Device, D::Error> {
        let text = String::deserialize(from)?;
        super::parse(&text).ok_or_else(|| D::Error::custom(format!("'{text}' is no device")))
    }
}

/// Refuses another libtorch than the one that this program was built against.
///
/// # Errors
/// [`crate::error::Error::Resource`] with both versions and the file that was loaded.
pub fn check_libtorch() -> Result<()> {
    shim::check_loaded().map_err(crate::error::Error::Resource)
}

/// Lets the allocator of this process keep freed memory for later tensors.
pub fn keep_memory() {
    shim::keep_memory();
}

/// Rounds that a thread of OpenMP spins for work before it sleeps. The default, 300,000, costs the other thread its time, twentyfold, where another program has one of two cores; to sleep at once doubles
/// the time of small networks on an idle machine. See "A busy machine" in `docs/performance.md`.
const SPINS: &str = "3000";

/// Lets threads of an operation sleep soon where they wait for work. `program` is what runs here. How long they spin is read when libtorch is loaded, before `main`, so the program is started again with that word, with the same
/// process number; where it cannot be, and where somebody has chosen, all stays as it is.
pub fn let_threads_sleep(program: &str) {
    use std::os::unix::process::CommandExt;
    let chosen = ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"].iter().any(|name| std::env::var_os(name).is_some());
    let mut words = std::env::args_os();
    if let (false, Some(name)) = (chosen, words.next()) {
        let _ = std::process::Command::new(program).arg0(name).args(words).env("GOMP_SPINCOUNT", SPINS).exec();
    }
}

/// Returns when the device has finished the work it was given.
pub fn wait_for(device: Device) {
    if let Some(index) = card(device) {
        Cuda::synchronize(index as i64);
    }
}

/// Number of usable CUDA devices, at least one, or why there are none.
fn cuda() -> std::result::Result<usize, String> {
    shim::load_cuda()?;
    match Cuda::device_count() {
        n if n > 0 && Cuda::is_available() => Ok(n as usize),
        _ => Err("libtorch finds no CUDA device (is the NVIDIA driver loaded?)".into()),
    }
}

/// What the records say of a device and its host.
pub fn describe(device: Device) -> DeviceRecord {
    let processor = processor();
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let threads = tch::get_num_threads().max(1) as u32;
    let index = card(device).and_then(|index| u32::try_from(index).ok());
    let (kind, (name, memory_bytes)) = match card(device) {
        Some(index) => ("cuda", name_and_memory(index)),
        None => ("cpu", (processor.clone(), memory::total())),
    };
    DeviceRecord { kind: kind.into(), index, name, memory_bytes, processor, cores, threads }
}

/// Number of a CUDA device.
pub fn card(device: Device) -> Option<usize> {
    if let Device::Cuda(index) = device { Some(index) } else { None }
}

fn name_and_memory(index: usize) -> (String, Option<u64>) {
    let known = Nvml::init().ok().and_then(|nvml| {
        let device = nvml.device_by_pci_bus_id(shim::pci_address(index)?).ok()?;
        Some((device.name().ok()?, device.memory_info().ok().map(|m| m.total)))
    });
    known.unwrap_or_else(|| (format!("CUDA device {index}"), None))
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let (name, [family, model]) = processor_of(&text);
    // A virtual machine may hide the generation, as in `AMD EPYC`.
    if name.contains(|c: char| c.is_ascii_digit()) { name } else { format!("{name} family {family} model {model}") }
}

/// Model of the processor, with the numbers that tell generations of one name apart.
pub fn processor_kind() -> String {
    let (name, [family, model]) = processor_of(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default());
    format!("{name} (family {family}, model {model})")
}

/// Name, family and model.
fn processor_of(cpuinfo: &str) -> (String, [String; 2]) {
    let numbers = ["cpu family", "model"].map(|key| field(cpuinfo, key).unwrap_or_else(|| "?".into()));
    (field(cpuinfo, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_string()), numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn a_processor_has_a_name_and_a_generation() {
        let text = "processor\t: 0\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n";
        assert_eq!(processor_of(text), ("AMD EPYC".into(), ["26".into(), "2".into()]));
        assert!(processor().contains(|c: char| c.is_ascii_digit() || c == '?'), "{}", processor());
    }

    #[test]
    fn a_named_device_is_taken_or_refused() {
        assert_eq!(choose("cpu").unwrap(), Device::Cpu);
        assert!(matches!(choose("auto").unwrap(), Device::Cpu | Device::Cuda(0)));
        assert!(matches!(choose("gpu"), Err(Error::Usage(_))));
        assert!(matches!(choose("cuda:x"), Err(Error::Usage(_))));
        assert!(matches!(choose("cuda:99"), Err(Error::Resource(_))));
    }

    #[test]
    fn several_devices_are_named_once_each() {
        let all = choose_several("cpu:0,1,2").unwrap().unwrap();
        assert_eq!(
            all.iter().map(|(name, device)| (name.as_str(), *device)).collect::<Vec<_>>(),
            [("cpu:0", Device::Cpu), ("cpu:1", Device::Cpu), ("cpu:2", Device::Cpu)]
        );
        for one in ["cpu", "auto", "cuda:1"] {
            assert_eq!(choose_several(one).unwrap(), None, "{one}");
        }
        for bad in ["cpu:0,0", "cpu:a,b", "tpu:0,1", "cuda:1,", "cpu:all"] {
            assert!(matches!(choose_several(bad), Err(Error::Usage(_))), "{bad}");
        }
        assert!(matches!(choose_several("cuda:98,99"), Err(Error::Resource(_))));
    }

    #[test]
    fn the_host_is_described() {
        let d = describe(Device::Cpu);
        assert_eq!(d.kind, "cpu");
        assert!(!d.name.is_empty() && d.cores >= 1 && d.threads >= 1);
        assert!(d.memory_bytes.is_none_or(|b| b > 100 << 20));
    }
}
