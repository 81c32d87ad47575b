//! The graph network: a state for every vertex, updated along the edges and back again (paper, sections 3.2 and 3.3).

use super::GhnSettings;
use super::graph::{Graph, Kind};
use crate::nn::{Init, Linear, ParamId, Table, Weights};
use tch::{Device, Kind as Number, Tensor};

/// In which order the states are updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Along the edges in topological order, then against them: 2 |V| − 1 updates a pass.
    ForwardBackward,
    /// All at once from the states before, both directions together: |V| updates a pass.
    Synchronous,
}

/// What the state of a vertex starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// 1 at the place of its kind, 0 elsewhere (paper, section 4.2).
    OneHot,
    /// A learned row for each kind, N(0, 1) at first.
    Embedding,
}

/// What a graph's sweeps need, as tensors.
pub struct Prepared {
    /// Places in the list of kinds, `[V]`.
    kinds: Tensor,
    forward: Vec<Sweep>,
    backward: Vec<Sweep>,
}

/// Vertices that are updated together.
struct Sweep {
    /// `[L]`
    vertices: Tensor,
    /// Which states each reads, [L, V].
    reads: Tensor,
    /// 1 for the input vertices of the module, [L, 1].
    inputs: Tensor,
}

/// The declared network: message M, update U and, where the start is learned, an embedding. All vertices, directions, passes and modules share them.
pub struct Propagation {
    /// None where the start is one-hot.
    embedding: Option<ParamId>,
    message: [Linear; 2],
    /// Of the gated unit: input and hidden weights, input and hidden biases; reset, update, new.
    gates: [ParamId; 4],
    settings: GhnSettings,
}

impl Propagation {
    /// Declares E [12, D] where the start is learned, M (D → D → D) and a gated recurrent unit (D → D).
    pub fn declare(t: &mut Table, settings: &GhnSettings) -> Self {
        let d = settings.embedding;
        let (bound, kinds) = (Init::fan_in(d), Kind::all().count() as i64);
        let learned = settings.start == Start::Embedding;
        Self {
            embedding: learned.then(|| t.param("embedding", &[kinds, d], Init::Normal(1.0))),
            message: [Linear::declare(t, "message.0", d, d), Linear::declare(t, "message.1", d, d)],
            gates: [("input.weight", &[3 * d, d][..]), ("hidden.weight", &[3 * d, d]), ("input.bias", &[3 * d]), ("hidden.bias", &[3 * d])]
                .map(|(name, shape)| t.scope("update", |t| t.param(name, shape, bound))),
            settings: settings.clone(),
        }
    }

    /// The sweeps of a graph. Vertices that do not read each other are updated together, which changes nothing.
    pub fn prepare(&self, graph: &Graph, device: Device, number: Number) -> Prepared {
        let (n, succs) = (graph.vertices(), graph.succs());
        let indices = |v: &[usize]| Tensor::from_slice(&v.iter().map(|v| *v as i64).collect::<Vec<_>>()).to_device(device);
        let sweep = |group: &[usize], reads: &dyn Fn(usize) -> Vec<usize>| {
            let mut matrix = vec![0.0; group.len() * n];
            group.iter().enumerate().for_each(|(row, v)| reads(*v).iter().for_each(|u| matrix[row * n + u] += 1.0));
            let inputs: Vec<f64> = group.iter().map(|v| f64::from(u8::from(graph.preds[*v].is_empty()))).collect();
            let tensor = |values: &[f64]| Tensor::from_slice(values).view([group.len() as i64, -1]).to_kind(number).to_device(device);
            Sweep { vertices: indices(group), reads: tensor(&matrix), inputs: tensor(&inputs) }
        };
        let (forward, backward) = match self.settings.schedule {
            Schedule::ForwardBackward => {
                let along = Graph::levels(&graph.preds, 0..n);
                let mut against = Graph::levels(&succs, (0..n).rev());
                // The last vertex, the only sink, is not updated twice.
                against.remove(0);
                let forward = along.iter().map(|g| sweep(g, &|v| graph.preds[v].clone())).collect();
                (forward, against.iter().map(|g| sweep(g, &|v| succs[v].clone())).collect())
            }
            Schedule::Synchronous => {
                let all: Vec<usize> = (0..n).collect();
                (vec![sweep(&all, &|v| [graph.preds[v].as_slice(), &succs[v]].concat())], Vec::new())
            }
        };
        let kinds: Vec<usize> = graph.kinds.iter().map(|k| k.index()).collect();
        Prepared { kinds: indices(&kinds), forward, backward }
    }

    /// The states [V, D] of every module after T passes. The mean of a module's states is sent to the input vertices of the next.
    pub fn run(&self, w: &Weights, modules: &[&Prepared]) -> Vec<Tensor> {
        let mut sent: Option<Tensor> = None;
        let mut all = Vec::new();
        for module in modules {
            let mut states = self.start(w, module);
            for _ in 0..self.settings.passes {
                for sweep in &module.forward {
                    states = self.update(w, &states, sweep, sent.as_ref());
                }
                for sweep in &module.backward {
                    states = self.update(w, &states, sweep, None);
                }
            }
            if self.settings.pass_embeddings {
                sent = Some(states.mean_dim([0i64].as_slice(), true, None::<Number>));
            }
            all.push(states);
        }
        all
    }

    /// The states before the first pass, [V, D].
    fn start(&self, w: &Weights, module: &Prepared) -> Tensor {
        match self.embedding {
            Some(embedding) => w[embedding].index_select(0, &module.kinds),
            None => module.kinds.one_hot(self.settings.embedding).to_kind(w.flat().kind()),
        }
    }

    fn update(&self, w: &Weights, states: &Tensor, sweep: &Sweep, sent: Option<&Tensor>) -> Tensor {
        // M of every state.
        let messages = self.message[1].forward(w, &self.message[0].forward(w, states).relu());
        let mut received = sweep.reads.matmul(&messages);
        if let Some(sent) = sent {
            received += sweep.inputs.matmul(sent);
        }
        let before = states.index_select(0, &sweep.vertices);
        let [wi, wh, bi, bh] = self.gates.map(|id| &w[id]);
        let after = received.gru_cell(&before, wi, wh, Some(bi), Some(bh));
        states.index_copy(0, &sweep.vertices, &after)
    }
}

#[cfg(test)]
impl Prepared {
    /// Vertices that a pass updates.
    pub fn updates(&self) -> i64 {
        self.forward.iter().chain(&self.backward).map(|s| s.vertices.size()[0]).sum()
    }
}
