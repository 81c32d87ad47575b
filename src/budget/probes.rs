//! All meters of the machine, read together.

use super::active::{Since, seconds};
use super::ledger::{Clock, Reading};
use crate::device::{card, wait_for};
use crate::memory::kilobytes;
use crate::shim::{self, DevicePeaks};
use nvml_wrapper::Nvml;
use rustix::time::ClockId;
use tch::Device;

/// The meters of some devices and their host. What a machine does not offer is `None`, never 0.
pub struct Probes {
    devices: Vec<Device>,
    nvml: Option<Nvml>,
    start: Since,
}

impl Probes {
    /// Meters of `device`.
    pub fn new(device: Device) -> Self {
        Self::of_all(&[device])
    }

    /// Meters of several devices: their energy is summed, and of their peaks the largest is taken.
    pub fn of_all(devices: &[Device]) -> Self {
        let nvml = devices.iter().find_map(|d| card(*d)).and_then(|_| Nvml::init().ok());
        Self { devices: devices.to_vec(), nvml, start: Since::now() }
    }

    /// Energy that the cards used since their driver was loaded.
    fn energy_joules(&self) -> Option<f64> {
        let energy = |device: &Device| {
            let device = self.nvml.as_ref()?.device_by_pci_bus_id(shim::pci_address(card(*device)?)?).ok()?;
            Some(device.total_energy_consumption().ok()? as f64 / 1000.0)
        };
        self.devices.iter().map(energy).sum()
    }

    fn device_peaks(&self) -> Option<DevicePeaks> {
        let peaks = self.devices.iter().filter_map(|device| card(*device).and_then(shim::device_peaks));
        peaks.reduce(|a, b| DevicePeaks { allocated: a.allocated.max(b.allocated), reserved: a.reserved.max(b.reserved) })
    }
}

impl Clock for Probes {
    fn seconds(&mut self) -> f64 {
        self.devices.iter().for_each(|device| wait_for(*device));
        self.start.seconds()
    }

    fn read(&mut self) -> Reading {
        Reading {
            wall_seconds: self.seconds(),
            cpu_seconds: Some(cpu_seconds()),
            energy_joules: self.energy_joules(),
            // The largest resident size since the last reset.
            peak_host_bytes: kilobytes("/proc/self/status", "VmHWM"),
            peak_device: self.device_peaks(),
        }
    }

    /// Where the system does not permit it for the host, its peak is that of the process so far.
    fn reset_peaks(&mut self) {
        // What earlier work left in the allocator is no part of the next peak.
        shim::return_memory();
        // "5" resets the peak resident size, see proc(5).
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        for index in self.devices.iter().filter_map(|device| card(*device)) {
            shim::reset_device_peaks(index);
        }
    }
}

/// User and system seconds of all threads of this process.
pub(super) fn cpu_seconds() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

/// How many cores other programs keep busy, from a moment on.
pub struct Others {
    before: f64,
    since: Since,
}

impl Others {
    /// From now on; `None` where the system does not tell.
    pub fn now() -> Option<Self> {
        Some(Self { before: seconds_of_others()?, since: Since::now() })
    }

    /// Cores on average.
    pub fn cores(&self) -> Option<f64> {
        Some(((seconds_of_others()? - self.before) / self.since.seconds()).max(0.0))
    }
}

/// Core-seconds of all other programs since the machine was started.
fn seconds_of_others() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let ticks: Vec<u64> = stat.lines().next()?.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    // user, nice, system, (idle, waiting for disks,) interrupts, soft interrupts, taken by other machines; see proc(5).
    let busy: u64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|i| ticks.get(*i)).sum();
    Some(busy as f64 / rustix::param::clock_ticks_per_second() as f64 - cpu_seconds())
}

/// User and system seconds of this thread.
pub fn thread_seconds() -> f64 {
    seconds(ClockId::ThreadCPUTime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_programs_use_is_told_apart() {
        let Some(others) = Others::now() else { return crate::message::say!("skipped: there is no /proc/stat") };
        let mut other = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        // Other tests are other programs too.
        let told = (0..100).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            others.cores().unwrap() > 0.1
        });
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(told);
    }

    #[test]
    fn the_meters_move_with_the_work() {
        let mut probes = Probes::new(Device::Cpu);
        let before = probes.read();
        let block = vec![1u8; 200 << 20];
        let mut sum = 0u64;
        while sum == 0 || cpu_seconds() - before.cpu_seconds.unwrap() < 0.05 {
            sum += block.iter().step_by(4096).map(|b| u64::from(*b)).sum::<u64>();
        }
        let after = probes.read();
        assert!(sum > 0);
        assert!(after.wall_seconds > before.wall_seconds);
        assert!(after.cpu_seconds.unwrap() >= before.cpu_seconds.unwrap() + 0.05);
        assert_eq!((after.energy_joules, after.peak_device), (None, None), "a processor has neither");
        if let Some(peak) = after.peak_host_bytes {
            assert!(peak >= 200 << 20, "{peak}");
        }
    }
}
