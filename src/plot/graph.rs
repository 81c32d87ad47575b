//! What is drawn of an architecture, whatever space it is of: its cells or its layers, as they stand in a file.

use crate::error::{Error, Result};
use crate::space::Architecture;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// An operation and the state it reads.
#[derive(Clone, Debug, Deserialize)]
pub struct Link {
    /// Name of the operation.
    pub op: String,
    /// Index of the state: first the inputs of the cell, then its nodes in order.
    pub from: usize,
}

/// A cell: each node joins operations; the output joins the states in `concat`.
#[derive(Clone, Debug, Deserialize)]
pub struct Graph {
    /// How many inputs it has.
    pub inputs: usize,
    /// Node `i` is state `inputs + i`.
    pub nodes: Vec<Vec<Link>>,
    /// States that make the output.
    pub concat: Vec<usize>,
    /// Nodes (by state) that stack their operations; the others add them.
    #[serde(default)]
    pub stacked: Vec<usize>,
}

/// A layer of a whole network: an operation on the layer before it, and earlier outputs that join its own.
#[derive(Clone, Debug, Deserialize)]
pub struct Layer {
    /// Name of the operation.
    pub op: String,
    /// Outputs that join: 0 is the stem, j + 1 layer j.
    pub skips: Vec<usize>,
}

impl Graph {
    /// The cells of an architecture, each with its name: those that it names itself, else every list of nodes in it, whose output joins all nodes.
    /// None for what has no cells.
    ///
    /// # Errors
    /// [`Error::Usage`] if an edge reads a state that does not come before it, or a list names an unknown state.
    pub fn cells(architecture: &Architecture) -> Result<Vec<(String, Self)>> {
        let named = architecture.cells().into_iter().map(|(name, cell)| (name.to_string(), value(cell)));
        let mut cells: Vec<(String, Value)> = named.collect();
        if cells.is_empty() {
            let lists = fields(architecture).into_iter().filter(|(_, list)| read::<Vec<[Link; 2]>>(list).is_some());
            cells = lists
                .map(|(name, list)| {
                    let all: Vec<usize> = (2..2 + list.as_array().map_or(0, Vec::len)).collect();
                    (name, json!({"inputs": 2, "concat": all, "nodes": list}))
                })
                .collect();
        }
        cells.into_iter().map(|(name, cell)| Ok((name.clone(), Self::sound(&name, read(&cell))?))).collect()
    }

    /// All its edges.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.nodes.iter().flatten()
    }

    fn sound(name: &str, cell: Option<Self>) -> Result<Self> {
        let sound = |cell: &Self| {
            let back = |(i, node): (usize, &Vec<Link>)| node.iter().all(|link| link.from < cell.inputs + i);
            let known = |state: &usize| *state < cell.inputs + cell.nodes.len();
            let lists = || cell.concat.iter().chain(&cell.stacked);
            !cell.nodes.is_empty() && cell.nodes.iter().enumerate().all(back) && lists().all(known)
        };
        let what =
            format!("{name} cell: it has no nodes, an edge that reads a state which does not come before it, or a list of unknown states");
        cell.filter(sound).ok_or(Error::Usage(what))
    }
}

/// The layers of a whole network; `None` for what is none.
///
/// # Errors
/// [`Error::Usage`] if a skip does not come from before.
pub fn layers(architecture: &Architecture) -> Result<Option<Vec<Layer>>> {
    let found: Option<Vec<Layer>> = fields(architecture).into_iter().find_map(|(_, list)| read(&list));
    let Some(layers) = found else { return Ok(None) };
    match layers.iter().enumerate().find(|(l, layer)| layer.skips.iter().any(|s| s >= l)) {
        Some((l, layer)) => Err(Error::Usage(format!("layer {l}: skips {:?} must stay below {l}", layer.skips))),
        None => Ok(Some(layers)),
    }
}

fn value(of: impl serde::Serialize) -> Value {
    serde_json::to_value(of).expect("an architecture is plain data")
}

fn fields(architecture: &Architecture) -> Vec<(String, Value)> {
    value(architecture).as_object().cloned().unwrap_or_default().into_iter().collect()
}

fn read<T: DeserializeOwned>(from: &Value) -> Option<T> {
    T::deserialize(from).ok()
}
