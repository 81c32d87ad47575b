//! Where the parts of a cell's drawing go: layers from left to right. A state that is read further on than in the next layer runs through
//! the layers between in a lane of its own, so that no line crosses a box.

use super::graph::Graph;
use crate::statistics::mean;

/// What stands in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// A state: an input of the cell, or one of its nodes.
    State(usize),
    /// The line of a state on its way to a later layer.
    Lane(usize),
    /// The output of the cell.
    Output,
}

impl Item {
    /// The state that goes on from it.
    pub fn state(self) -> Option<usize> {
        match self {
            Self::State(s) | Self::Lane(s) => Some(s),
            Self::Output => None,
        }
    }

    /// The states of the layer before that enter it.
    pub fn sources(self, cell: &Graph) -> Vec<usize> {
        match self {
            Self::State(s) if s < cell.inputs => Vec::new(),
            Self::State(s) => cell.nodes[s - cell.inputs].iter().map(|e| e.from).collect(),
            Self::Lane(s) => vec![s],
            Self::Output => cell.concat.clone(),
        }
    }
}

/// An item with the middle of its height, pixels from an arbitrary zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placed {
    /// What.
    pub item: Item,
    /// Where.
    pub y: f64,
}

/// Layers from left to right, items in each from top to bottom, near the mean of those that they are joined to and far enough apart for their
/// heights.
pub fn layers(cell: &Graph, height: impl Fn(Item) -> f64) -> Vec<Vec<Placed>> {
    let mut layers: Vec<Vec<Placed>> = members(cell);
    for sweep in 0..40 {
        // Forth and back; first by one side alone, which finds the order.
        let forth = sweep % 2 == 0;
        for step in 0..layers.len() {
            let l = if forth { step } else { layers.len() - 1 - step };
            let before = if forth || sweep > 12 { l.checked_sub(1) } else { None };
            let after = if !forth || sweep > 12 { Some(l + 1) } else { None };
            let joined = |a: Item, b: Item| a.state().is_some_and(|s| b.sources(cell).contains(&s));
            let wish = |p: &Placed| {
                let before = before.iter().flat_map(|i| &layers[*i]).filter(|q| joined(q.item, p.item));
                let after = after.iter().filter_map(|i| layers.get(*i)).flatten().filter(|q| joined(p.item, q.item));
                mean(&before.chain(after).map(|q| q.y).collect::<Vec<f64>>()).unwrap_or(p.y)
            };
            let mut layer: Vec<Placed> = layers[l].iter().map(|p| Placed { y: wish(p), ..*p }).collect();
            layer.sort_by(|a, b| a.y.total_cmp(&b.y));
            spread(&mut layer, &height);
            layers[l] = layer;
        }
    }
    layers
}

/// Layer of each state: inputs 0, a node one more than the furthest state it reads.
fn depths(cell: &Graph) -> Vec<usize> {
    let mut depth = vec![0; cell.inputs];
    for links in &cell.nodes {
        depth.push(1 + links.iter().map(|link| depth[link.from]).max().unwrap_or(0));
    }
    depth
}

/// What stands in each layer, not yet in its place.
fn members(cell: &Graph) -> Vec<Vec<Placed>> {
    let depth = depths(cell);
    let last = depth.iter().max().map_or(1, |d| d + 1);
    let mut layers: Vec<Vec<Item>> = vec![Vec::new(); last + 1];
    for (state, d) in depth.iter().enumerate() {
        layers[*d].push(Item::State(state));
        // It is on its way to the furthest layer that reads it.
        let readers = (cell.inputs..depth.len()).filter(|s| Item::State(*s).sources(cell).contains(&state)).map(|s| depth[s]);
        let reach = readers.chain(cell.concat.contains(&state).then_some(last)).max().unwrap_or(0);
        (d + 1..reach).for_each(|l| layers[l].push(Item::Lane(state)));
    }
    layers[last].push(Item::Output);
    let placed = |layer: Vec<Item>| layer.into_iter().enumerate().map(|(i, item)| Placed { item, y: i as f64 }).collect();
    layers.into_iter().map(placed).collect()
}

/// Moves the middles apart, in order and without overlap; their mean shift is zero.
fn spread(layer: &mut [Placed], height: impl Fn(Item) -> f64) {
    let wishes: f64 = layer.iter().map(|p| p.y).sum();
    for i in 1..layer.len() {
        layer[i].y = layer[i].y.max(layer[i - 1].y + (height(layer[i - 1].item) + height(layer[i].item)) / 2.0);
    }
    let shift = (wishes - layer.iter().map(|p| p.y).sum::<f64>()) / layer.len().max(1) as f64;
    layer.iter_mut().for_each(|p| p.y += shift);
}

#[cfg(test)]
mod tests {
    use super::super::graph::Link;
    use super::*;

    fn graph(sources: &[[usize; 2]], concat: &[usize]) -> Graph {
        let nodes = sources.iter().map(|node| node.map(|from| Link { op: "sep_conv_3x3".into(), from }).into()).collect();
        Graph { inputs: 2, nodes, concat: concat.to_vec(), stacked: Vec::new() }
    }

    fn chain() -> Graph {
        graph(&[[0, 1], [2, 0], [3, 3]], &[2, 4])
    }

    #[test]
    fn a_state_read_later_has_a_lane_in_every_layer_between() {
        let layers: Vec<Vec<Item>> = members(&chain()).iter().map(|layer| layer.iter().map(|p| p.item).collect()).collect();
        assert_eq!(depths(&chain()), [0, 0, 1, 2, 3]);
        assert_eq!(layers.len(), 5);
        assert_eq!(layers[1], [Item::Lane(0), Item::State(2)]);
        assert_eq!(layers[2], [Item::Lane(2), Item::State(3)]);
        assert_eq!(layers[3], [Item::Lane(2), Item::State(4)]);
        assert_eq!(layers[4], [Item::Output]);
    }

    #[test]
    fn items_of_a_layer_do_not_overlap() {
        for layer in layers(&chain(), |_| 14.0) {
            for pair in layer.windows(2) {
                assert!(pair[1].y - pair[0].y >= 14.0 - 1e-9, "{layer:?}");
            }
        }
    }

    #[test]
    fn a_crossing_that_can_be_avoided_is_avoided() {
        let layers = layers(&graph(&[[1, 1], [0, 0]], &[2, 3]), |_| 14.0);
        assert_eq!(layers[1].iter().map(|p| p.item).collect::<Vec<_>>(), [Item::State(3), Item::State(2)]);
    }
}
