//! Tasks of a Slurm cluster train the trials. The queue is Slurm's, and a shared folder carries the values: see `lab/cluster/files.rs`.

mod watch;

use super::super::cluster::{
    Array, Refusal, Snapshot, TaskFiles, TaskId, TrialFile, cancel, most_tasks, obeyed, quoted, snapshot, trial_name,
};
use super::super::lab::Lab;
use super::super::method::ChildTraining;
use super::super::trials::Trial;
use super::{Evaluator, News, Outcome};
use crate::error::{Result, input, resource};
use crate::record::{ClusterRecord, EndReason, FORMAT, Phase, Program, Submission, TaskRecord};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long to rest when nothing is heard.
const REST: Duration = Duration::from_millis(100);
/// Seconds between two trials to send what was refused.
const AGAIN: f64 = 5.0;

/// See [`Evaluator`].
pub struct Slurm {
    cluster: ClusterRecord,
    jobs: u64,
    phase: Phase,
    run: PathBuf,
    files: TaskFiles,
    /// What every trial is told beside itself.
    template: (ChildTraining, f64),
    /// What earlier attempts sent.
    past: Vec<Submission>,
    committed: HashSet<u64>,
    /// Trials that are to be sent.
    gathered: VecDeque<u64>,
    under_way: BTreeMap<u64, Flight>,
    /// An array that is recorded and not sent.
    sending: Option<(Array, Submission)>,
    /// Most tasks of an array, as the cluster permits.
    permitted: usize,
    /// The same as it proved.
    most: usize,
    not_before: Instant,
    refused: bool,
    /// Outcomes that were taken and are not committed.
    outcomes: BTreeMap<u64, Vec<PathBuf>>,
    /// Tasks that began to train.
    begun: HashSet<TaskId>,
    /// Seconds that a task takes before it trains, as the last account has it: no device works then.
    opening: f64,
    queue: Snapshot,
    looked: Option<Instant>,
    scanned: Option<Instant>,
    silent: bool,
    news: VecDeque<News>,
    stopping: Option<EndReason>,
    /// Signals that were obeyed.
    signals: u64,
}

/// A trial that was begun.
#[derive(Default)]
struct Flight {
    /// Name and place of its task; none before it is sent.
    array: Option<(String, u64)>,
    job: Option<u64>,
    gone: Option<Instant>,
    missed: bool,
    tries: u32,
    /// Steps that its state had when it was sent last.
    steps: u64,
}

impl Flight {
    fn task(&self) -> Option<TaskId> {
        Some((self.job?, self.array.as_ref()?.1))
    }
}

impl Slurm {
    /// For the trials of the present phase, with what earlier attempts sent.
    ///
    /// # Errors
    /// [`crate::error::Error::Resource`] where the folders of the tasks cannot be made.
    pub fn new(lab: &Lab, cluster: &ClusterRecord, training: &ChildTraining) -> Result<Self> {
        let (session, phase) = (&lab.session, lab.session.ledger.phase());
        let recorder = &session.recorder;
        let run = std::path::absolute(recorder.run.path()).unwrap_or_else(|_| recorder.run.path().to_path_buf());
        let files = TaskFiles::of(&run);
        files.make()?;
        // What is lost by a kill is not to be more than that of a run.
        let keep_seconds = session.checkpoint_seconds.min(30.0);
        let permitted = most_tasks();
        Ok(Self {
            cluster: cluster.clone(),
            jobs: session.jobs,
            phase,
            template: (training.clone(), keep_seconds),
            past: recorder.submissions.iter().filter(|s| s.phase == phase).cloned().collect(),
            committed: recorder.trials.keys().filter(|(p, _)| *p == phase).map(|(_, id)| *id).collect(),
            run,
            files,
            gathered: VecDeque::new(),
            under_way: BTreeMap::new(),
            sending: None,
            permitted,
            most: permitted,
            not_before: Instant::now(),
            refused: false,
            outcomes: BTreeMap::new(),
            begun: HashSet::new(),
            opening: session.ledger.tasks().iter().rfind(|task| task.apart).map_or(0.0, opening_of),
            queue: Snapshot::new(),
            looked: None,
            scanned: None,
            silent: false,
            news: VecDeque::new(),
            stopping: None,
            signals: 0,
        })
    }

    fn notice(&mut self, text: String) {
        self.news.push_back(News::Notice(text));
    }

    /// Tasks that are known to be in the queue or at work.
    fn alive(&self) -> Vec<TaskId> {
        let tasks: HashSet<TaskId> = self.under_way.values().filter(|f| f.gone.is_none()).filter_map(Flight::task).collect();
        tasks.into_iter().collect()
    }

    /// Writes an array of trials that wait to be sent: whole groups, and what is left where there is room for another task.
    fn gather(&mut self) -> Result<Option<Submission>> {
        let (per_task, alive) = (self.cluster.trials_per_task.max(1) as usize, self.alive().len());
        let mut tasks: Vec<Vec<u64>> = Vec::new();
        while tasks.len() < self.most && !self.gathered.is_empty() {
            let room = alive + tasks.len() < self.jobs as usize;
            if self.gathered.len() < per_task && !room {
                break;
            }
            tasks.push(self.gathered.drain(..per_task.min(self.gathered.len())).collect());
        }
        if tasks.is_empty() {
            return Ok(None);
        }
        let run = quoted(&self.run.display().to_string());
        let line = |trials: &Vec<u64>| {
            let names: Vec<String> = trials.iter().map(|id| trial_name(self.phase, *id)).collect();
            format!("trial {run} {}", names.join(" "))
        };
        let lines: Vec<String> = tasks.iter().map(line).collect();
        let folder = self.files.queue();
        let array = Array::write(&folder, Array::new_name(&folder), &self.cluster.program, &lines)?;
        let submission = Submission { name: array.name.clone(), phase: self.phase, tasks, job: None };
        self.sending = Some((array, submission.clone()));
        Ok(Some(submission))
    }

    /// Sends what was recorded, and says so once it has a number.
    fn send(&mut self) -> Result<()> {
        let Some((mut array, mut submission)) = self.sending.take() else { return Ok(()) };
        match array.send(&self.cluster.words, None) {
            Ok(job) => {
                submission.job = Some(job);
                self.refused = false;
                self.most = (self.most * 2).min(self.permitted);
                self.sent(submission);
            }
            Err(Refusal::Full(said)) => {
                self.most = (submission.tasks.len() / 2).max(1);
                self.wait_before_sending(&format!("the cluster takes no more tasks now: {said}"));
                submission.tasks.into_iter().flatten().rev().for_each(|id| self.gathered.push_front(id));
            }
            Err(Refusal::NoAnswer(said)) => {
                self.wait_before_sending(&format!("Slurm did not answer to a submission: {said}"));
                self.sending = Some((array, submission));
            }
            Err(Refusal::Never(said)) => return Err(resource!("sbatch refuses the tasks: {said}")),
        }
        Ok(())
    }

    fn sent(&mut self, submission: Submission) {
        for (trials, index) in submission.tasks.iter().zip(0..) {
            for id in trials {
                if let Some(flight) = self.under_way.get_mut(id) {
                    (flight.array, flight.job, flight.gone) = (Some((submission.name.clone(), index)), submission.job, None);
                }
            }
        }
        self.news.push_back(News::Sent(submission));
    }

    fn wait_before_sending(&mut self, why: &str) {
        if !std::mem::replace(&mut self.refused, true) {
            self.notice(format!("{why}; tried again every {AGAIN:.0} s"));
        }
        self.not_before = Instant::now() + Duration::from_secs_f64(AGAIN);
    }

    /// Trials that wait to be sent, which they no longer do.
    fn unsent(&mut self) -> Vec<u64> {
        // Slurm may have taken it without an answer; then it is cancelled by its name at the end.
        self.past.extend(self.sending.take().map(|(_, submission)| submission));
        self.gathered.clear();
        let ids: Vec<u64> = self.under_way.iter().filter(|(_, flight)| flight.array.is_none()).map(|(id, _)| *id).collect();
        ids.iter().for_each(|id| drop(self.under_way.remove(id)));
        ids
    }

    /// Cancels what a signal or a limit asks for. A controller that does not answer is asked again at the next look.
    fn obey(&self) {
        let only_pending = self.stopping.is_none() && self.signals == 1;
        if self.stopping.is_some() || self.signals > 0 {
            let _ = cancel(&self.alive(), only_pending);
        }
    }

    /// Whether something that is asked every so often is due; more rarely the more tasks there are.
    fn is_due(&self, last: Option<Instant>, least: f64, per_task: f64) -> bool {
        let pause = (least + per_task * self.under_way.len() as f64).min(60.0);
        last.is_none_or(|last| last.elapsed().as_secs_f64() >= pause)
    }
}

/// Seconds that the task of this account took before it trained.
fn opening_of(task: &TaskRecord) -> f64 {
    task.account.wall_seconds - task.account.device_seconds
}

impl Evaluator for Slurm {
    fn capacity(&self) -> u64 {
        self.jobs * self.cluster.trials_per_task.max(1)
    }

    fn begin(&mut self, trial: &Trial) -> Result<()> {
        if self.under_way.is_empty() {
            self.stopping = None;
        }
        let (phase, id) = (self.phase, trial.id);
        let (training, keep_seconds) = self.template.clone();
        let (program, drawn) = (Program::current(), jiff::Timestamp::now().to_string());
        let file = TrialFile { format: FORMAT, program, phase, trial: trial.clone(), training, keep_seconds, drawn };
        let there = self.files.read_trial(phase, id).ok();
        if there.as_ref().is_some_and(|t| (&t.trial, &t.training) != (&file.trial, &file.training)) {
            let name = trial_name(phase, id);
            return Err(input!(
                &self.run,
                "{name} was sent to the cluster as another trial than this search draws; it was written by another version"
            ));
        }
        if there.is_none_or(|t| t.program != file.program) {
            self.files.write_trial(&file)?;
        }
        let place = |s: &Submission| Some((s.name.clone(), s.tasks.iter().position(|task| task.contains(&id))? as u64, s.job));
        let flight = match self.past.iter().rev().find_map(place) {
            // An earlier attempt sent it: it is taken over, wherever it is.
            Some((name, index, job)) => Flight { array: Some((name, index)), job, ..Flight::default() },
            None => {
                self.gathered.push_back(id);
                Flight::default()
            }
        };
        self.under_way.insert(id, flight);
        Ok(())
    }

    fn hear(&mut self) -> Result<Option<News>> {
        if let Some(news) = self.news.pop_front() {
            return Ok(Some(news));
        }
        let may_send = self.signals == 0 && self.stopping.is_none() && Instant::now() >= self.not_before;
        if may_send && self.sending.is_some() {
            self.send()?;
        } else if may_send && let Some(submission) = self.gather()? {
            // It is recorded before it is sent.
            return Ok(Some(News::Sent(submission)));
        }
        if self.is_due(self.scanned, 0.1, 1.0 / 20_000.0) {
            self.scan()?;
        }
        if self.is_due(self.looked, 1.0, 1.0 / 200.0) {
            self.look()?;
        }
        if self.news.is_empty() {
            std::thread::sleep(REST);
        }
        Ok(self.news.pop_front())
    }

    fn stop(&mut self, reason: EndReason) {
        self.stopping.get_or_insert(reason);
        for id in self.unsent() {
            self.news.push_back(News::End { id, outcome: Outcome::nothing(reason), seconds: 0.0 });
        }
        self.obey();
    }

    fn interrupted(&mut self, count: u64) -> bool {
        if count > self.signals {
            self.signals = count;
            self.unsent();
            self.obey();
            let running =
                self.under_way.values().filter_map(Flight::task).filter(|t| self.queue.get(t).is_some_and(|s| s.is_running())).count();
            self.notice(obeyed(count, running, "tasks"));
            self.looked = None;
        }
        !self.under_way.is_empty() || !self.news.is_empty()
    }

    fn leftovers(&self, id: u64) -> Vec<TaskRecord> {
        self.files.accounts(self.phase, id)
    }

    fn forget(&mut self, id: u64) {
        self.committed.insert(id);
        self.files.forget(self.phase, id, &self.outcomes.remove(&id).unwrap_or_default());
    }

    fn working(&self) -> u64 {
        0
    }

    fn under_way_seconds(&self) -> f64 {
        let since = self.looked.map_or(0.0, |looked| looked.elapsed().as_secs_f64());
        let tasks: HashSet<TaskId> = self.under_way.values().filter_map(Flight::task).collect();
        tasks
            .iter()
            .filter_map(|task| self.queue.get(task))
            .filter(|state| state.is_running())
            .map(|state| (state.seconds + since - self.opening).max(0.0))
            .sum()
    }

    fn is_elsewhere(&self) -> bool {
        true
    }
}

/// Whatever happened, nothing of this phase stays in the queue unowned.
impl Drop for Slurm {
    fn drop(&mut self) {
        if self.past.is_empty() && self.under_way.is_empty() {
            return;
        }
        let names: HashSet<&str> = self.past.iter().map(|s| s.name.as_str()).collect();
        let own: HashSet<TaskId> = self.under_way.values().filter_map(Flight::task).collect();
        let Ok(queue) = snapshot() else { return };
        let left = queue.iter().filter(|(id, task)| task.is_alive() && (own.contains(id) || names.contains(task.name.as_str())));
        let left: Vec<TaskId> = left.map(|(id, _)| *id).collect();
        let _ = cancel(&left, false);
    }
}
