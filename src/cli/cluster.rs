//! What was typed about a cluster.

use super::run::{open_device, set_threads, threads};
use super::run_args::{ClusterArgs, On, OutputArgs, RunSettingsArgs};
use crate::device;
use crate::error::{Error, Result, usage};
use crate::lab::check_cluster;
use crate::record::ClusterRecord;
use std::path::PathBuf;
use tch::Device;

/// Tasks in the queue at a time, if nothing is said.
pub const JOBS: u64 = 8;

impl ClusterArgs {
    /// The cluster that was asked for, which is there and takes these words; `before` is that of a run that is resumed.
    ///
    /// # Errors
    /// [`Error::Usage`] for words that make no sense, [`Error::Resource`] without Slurm.
    pub fn resolve(&self, before: Option<ClusterRecord>) -> Result<Option<ClusterRecord>> {
        let on = self.on.unwrap_or(if before.is_some() { On::Slurm } else { On::Local });
        if on == On::Local {
            return self.says_nothing().map(|()| None);
        }
        let words = self
            .sbatch
            .as_deref()
            .map(|text| shlex::split(text).ok_or_else(|| usage!("--sbatch '{text}': a quotation mark is not closed")));
        let mut record =
            before.map_or_else(|| Ok(ClusterRecord { words: Vec::new(), trials_per_task: 1, program: own_program()? }), Ok::<_, Error>)?;
        if let Some(words) = words.transpose()? {
            record.words = words;
        }
        record.trials_per_task = self.trials_per_task.unwrap_or(record.trials_per_task);
        if let Some(program) = &self.node_program {
            record.program = std::path::absolute(program).unwrap_or_else(|_| program.clone());
        }
        check_cluster(&record.words)?;
        Ok(Some(record))
    }

    /// Refuses words that are for tasks of a cluster, where there is none.
    ///
    /// # Errors
    /// [`Error::Usage`] with the option.
    pub fn says_nothing(&self) -> Result<()> {
        let of_slurm = [
            ("--sbatch", self.sbatch.is_some()),
            ("--trials-per-task", self.trials_per_task.is_some()),
            ("--node-program", self.node_program.is_some()),
        ];
        let given = of_slurm.iter().find(|(_, given)| *given);
        given.map_or(Ok(()), |(option, _)| Err(usage!("{option} is for tasks of a cluster; add --on slurm")))
    }
}

/// This program's file, as the nodes are to find it.
fn own_program() -> Result<PathBuf> {
    std::env::current_exe().map_err(|e| Error::Resource(format!("this program cannot find its own file: {e}; name it with --node-program")))
}

/// The devices that were asked for: one, or several of which the first is where everything is done that is not side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Devices {
    /// The one, or the first.
    pub first: Device,
    /// All of several, by name; none where there is one.
    pub several: Vec<(String, Device)>,
}

/// Opens the devices that were asked for. On a cluster none is opened here, and what is usual depends on whether a card is asked of Slurm.
pub fn devices_on(cluster: Option<&ClusterRecord>, settings: &RunSettingsArgs) -> Result<Devices> {
    let one = |first| Devices { first, several: Vec::new() };
    let Some(cluster) = cluster else {
        return match device::choose_several(&settings.device)? {
            Some(several) => {
                set_threads(settings.threads.unwrap_or_else(threads))?;
                Ok(Devices { first: several[0].1, several })
            }
            None => open_device(settings).map(one),
        };
    };
    set_threads(settings.threads.unwrap_or_else(|| cpus_per_task(&cluster.words)))?;
    let asks_for_card = cluster.words.iter().any(|word| word.contains("gpu"));
    match settings.device.as_str() {
        "auto" => Ok(one(if asks_for_card { Device::Cuda(0) } else { Device::Cpu })),
        "cpu" => Ok(one(Device::Cpu)),
        "cuda" | "cuda:0" => Ok(one(Device::Cuda(0))),
        other => Err(usage!(
            "--device {other}: a task of a cluster has the card that Slurm gives it; say cpu or cuda, and how many with --sbatch"
        )),
    }
}

/// The settings with the usual number of jobs: on a cluster, tasks that may be in its queue; of several devices, one each.
pub fn with_jobs(cluster: Option<&ClusterRecord>, devices: &Devices, settings: &RunSettingsArgs) -> RunSettingsArgs {
    let of_devices = Some(devices.several.len() as u64).filter(|n| *n > 0);
    RunSettingsArgs { jobs: settings.jobs.or(cluster.map(|_| JOBS)).or(of_devices), ..settings.clone() }
}

/// Threads of one operation on a node: the processors of a task.
fn cpus_per_task(words: &[String]) -> u32 {
    let long = words.iter().find_map(|word| word.strip_prefix("--cpus-per-task="));
    let next = words.iter().position(|word| word == "-c" || word == "--cpus-per-task").and_then(|at| words.get(at + 1));
    let short = words.iter().find_map(|word| word.strip_prefix("-c")).filter(|n| !n.is_empty());
    long.or(next.map(String::as_str)).or(short).and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// Processors that Slurm gave to this task; 1 if it does not say.
pub fn own_processors() -> u64 {
    std::env::var("SLURM_CPUS_PER_TASK").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// What a job that does the rest of a run is told of how it saves and talks.
pub fn words_of_output(output: &OutputArgs) -> Vec<String> {
    let mut words = vec![format!("--checkpoint-every={}s", output.checkpoint_seconds)];
    words.extend(output.quiet.then(|| "--quiet".into()));
    words.extend(output.tensorboard.then(|| "--tensorboard".into()));
    if let Some(folder) = &output.trace {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
        words.extend([format!("--trace={}", folder.display()), format!("--trace-limit={}", output.trace_bytes)]);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_of_a_task_are_read_from_the_words() {
        let of = |text: &str| cpus_per_task(&shlex::split(text).unwrap());
        assert_eq!([of(""), of("--cpus-per-task=4"), of("-c 3"), of("-c2 --mem=4G"), of("--cpus-per-task 6")], [1, 4, 3, 2, 6]);
    }

    #[test]
    fn words_for_sbatch_need_a_cluster() {
        let local = ClusterArgs { sbatch: Some("--time=1".into()), ..ClusterArgs::default() };
        assert!(local.resolve(None).unwrap_err().to_string().starts_with("--sbatch is for tasks of a cluster"));
        assert_eq!(ClusterArgs::default().resolve(None).unwrap(), None);
        let open = ClusterArgs { on: Some(On::Slurm), sbatch: Some("--comment='a b".into()), ..ClusterArgs::default() };
        assert!(matches!(open.resolve(None), Err(Error::Usage(_))));
    }
}
