//! The devices of this machine over which children are spread. Where there is one, its time is that of the clock; of several, each child has an account that names its device.

use super::super::lab::Lab;
use crate::budget::Since;
use crate::device;
use crate::record::{EndReason, LedgerRow, Phase, TaskRecord};
use crate::task::Task;
use std::collections::BTreeMap;
use tch::Device;

/// What a child counted itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Used {
    /// Optimiser steps.
    pub steps: u64,
    /// Images that they took.
    pub samples: u64,
    /// Processor seconds of its thread.
    pub cpu_seconds: f64,
}

impl Used {
    /// With one more step over so many images, if it was one.
    pub fn and_a_step(self, samples: Option<u64>) -> Self {
        samples.map_or(self, |n| Self { steps: self.steps + 1, samples: self.samples + n, ..self })
    }
}

/// A device, the data on it, and who is there.
struct Place {
    name: String,
    model: String,
    device: Device,
    task: Box<dyn Task>,
    /// Children, and the seconds of the device that each is charged: those that share it share its time.
    children: BTreeMap<u64, f64>,
    since: Since,
}

impl Place {
    fn new(name: String, device: Device, task: Box<dyn Task>) -> Self {
        Self { name, model: device::describe(device).name, device, task, children: BTreeMap::new(), since: Since::now() }
    }

    /// Charges the time since the last change to those who are here.
    fn settle(&mut self) {
        let share = self.since.seconds() / self.children.len().max(1) as f64;
        self.since = Since::now();
        self.children.values_mut().for_each(|seconds| *seconds += share);
    }
}

/// All of them.
pub struct Places {
    all: Vec<Place>,
    attempt: u32,
    node: String,
}

impl Places {
    /// Those of `lab`, or the one that it works on.
    pub fn of(lab: &Lab) -> Self {
        let several = &lab.session.devices;
        let all = if several.is_empty() {
            vec![Place::new(device::name(lab.device), lab.device, lab.task.share())]
        } else {
            several.iter().map(|(name, device)| Place::new(name.clone(), *device, lab.task.share_on(*device))).collect()
        };
        Self { all, attempt: lab.session.ledger.attempt(), node: device::host() }
    }

    /// Puts a child where the fewest are, and gives it the data there.
    pub fn enter(&mut self, id: u64) -> (Box<dyn Task>, Device) {
        let place = self.all.iter_mut().min_by_key(|place| place.children.len()).expect("there is a device");
        place.settle();
        place.children.insert(id, 0.0);
        (place.task.share(), place.device)
    }

    /// Takes a child away. Of several devices, its account.
    pub fn leave(&mut self, id: u64, (phase, end_reason): (Phase, EndReason), used: &Used, wall_seconds: f64) -> Option<TaskRecord> {
        let several = self.all.len() > 1;
        let place = self.all.iter_mut().find(|place| place.children.contains_key(&id))?;
        place.settle();
        let device_seconds = place.children.remove(&id)?;
        let (Used { steps, samples, cpu_seconds }, attempt) = (*used, self.attempt);
        let cpu_seconds = Some(cpu_seconds);
        let account =
            LedgerRow { phase, attempt, device_seconds, cpu_seconds, wall_seconds, samples, steps, end_reason, ..LedgerRow::default() };
        several.then(|| TaskRecord {
            trial: id,
            task: format!("attempt {attempt}"),
            node: self.node.clone(),
            device: place.name.clone(),
            model: place.model.clone(),
            queued_seconds: None,
            apart: false,
            account,
        })
    }

    /// Devices that work now. A single one counts as working throughout, as its clock does.
    pub fn working(&self) -> u64 {
        if self.all.len() == 1 { 1 } else { self.all.iter().filter(|place| !place.children.is_empty()).count() as u64 }
    }
}
