//! Where the parts of a cell's drawing go: layers from left to right. A state that is read further on than in the next layer runs through
//! the layers between in a lane of its own, so that no line crosses a box.

use super::graph::Graph;

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

/// An item with the middle of its height, pixels from an arbitrary zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placed {
    /// What.
    pub item: Item,
    /// Where.
    pub y: f64,
}

/// Heights of the items.
#[derive(Clone, Copy, Debug)]
pub struct Heights {
    /// Of a node with its operations.
    pub node: f64,
    /// Of an input or the output.
    pub end: f64,
    /// Of a lane.
    pub lane: f64,
}

/// Layers from left to right, items in each from top to bottom.
pub fn layers(cell: &Graph, heights: Heights) -> Vec<Vec<Placed>> {
    let mut order = members(cell);
    let reads = readers(cell, &order);
    sort_for_few_crossings(&mut order, &reads);
    place(&order, &reads, cell, heights)
}

/// Layer of each state: inputs 0, a node one more than the furthest state it reads.
pub fn depths(cell: &Graph) -> Vec<usize> {
    let mut depth = vec![0, 0];
    for edges in &cell.nodes {
        let furthest = edges.iter().map(|e| depth.get(e.from).copied().unwrap_or(0)).max().unwrap_or(0);
        depth.push(furthest + 1);
    }
    depth
}

fn members(cell: &Graph) -> Vec<Vec<Item>> {
    let depth = depths(cell);
    let last = depth.iter().max().copied().unwrap_or(0) + 1;
    // The furthest layer that reads each state.
    let mut reach = depth.clone();
    for (i, edges) in cell.nodes.iter().enumerate() {
        for edge in edges {
            reach[edge.from] = reach[edge.from].max(depth[i + 2]);
        }
    }
    cell.concat.iter().for_each(|s| reach[*s] = last);
    let mut layers: Vec<Vec<Item>> = vec![Vec::new(); last + 1];
    for (state, d) in depth.iter().enumerate() {
        layers[*d].push(Item::State(state));
        for layer in &mut layers[d + 1..reach[state].max(d + 1)] {
            layer.push(Item::Lane(state));
        }
    }
    layers[last].push(Item::Output);
    layers
}

/// Pairs (index in a layer, index in the next) that a line joins, for each gap between layers.
type Lines = Vec<Vec<(usize, usize)>>;

fn readers(cell: &Graph, layers: &[Vec<Item>]) -> Vec<Vec<(usize, Item)>> {
    let sources = |item: &Item| -> Vec<usize> {
        match item {
            Item::State(s) if *s < 2 => Vec::new(),
            Item::State(s) => cell.nodes[s - 2].iter().map(|e| e.from).collect(),
            Item::Lane(s) => vec![*s],
            Item::Output => cell.concat.clone(),
        }
    };
    layers.iter().map(|layer| layer.iter().flat_map(|i| sources(i).into_iter().map(move |s| (s, *i))).collect()).collect()
}

fn state_of(item: &Item) -> Option<usize> {
    match item {
        Item::State(s) | Item::Lane(s) => Some(*s),
        Item::Output => None,
    }
}

fn lines(order: &[Vec<Item>], reads: &[Vec<(usize, Item)>]) -> Lines {
    let gap = |l: usize| {
        let find = |s: usize| order[l - 1].iter().position(|i| state_of(i) == Some(s));
        let to = |item: &Item| order[l].iter().position(|i| i == item);
        reads[l].iter().filter_map(|(s, item)| find(*s).zip(to(item))).collect()
    };
    (1..order.len()).map(gap).collect()
}

fn crossings(lines: &Lines) -> usize {
    let crossed = |gap: &Vec<(usize, usize)>| {
        let pairs = gap.iter().enumerate().flat_map(|(i, a)| gap[i + 1..].iter().map(move |b| (a, b)));
        pairs.filter(|(a, b)| (a.0 < b.0 && a.1 > b.1) || (a.0 > b.0 && a.1 < b.1)).count()
    };
    lines.iter().map(crossed).sum()
}

/// Sorts the layers by the mean place of their neighbours, forth and back, and keeps the best order seen.
fn sort_for_few_crossings(order: &mut Vec<Vec<Item>>, reads: &[Vec<(usize, Item)>]) {
    let mut best = (crossings(&lines(order, reads)), order.clone());
    for sweep in 0..12 {
        let forth = sweep % 2 == 0;
        let range: Vec<usize> = if forth { (1..order.len()).collect() } else { (0..order.len() - 1).rev().collect() };
        for l in range {
            let all = lines(order, reads);
            let mean = |k: usize| {
                let near: Vec<usize> = if forth {
                    all[l - 1].iter().filter(|(_, to)| *to == k).map(|(from, _)| *from).collect()
                } else {
                    all[l].iter().filter(|(from, _)| *from == k).map(|(_, to)| *to).collect()
                };
                if near.is_empty() { k as f64 } else { near.iter().sum::<usize>() as f64 / near.len() as f64 }
            };
            let mut keyed: Vec<(f64, Item)> = order[l].iter().enumerate().map(|(k, item)| (mean(k), *item)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            order[l] = keyed.into_iter().map(|(_, item)| item).collect();
        }
        let now = crossings(&lines(order, reads));
        if now < best.0 {
            best = (now, order.clone());
        }
    }
    *order = best.1;
}

fn place(order: &[Vec<Item>], reads: &[Vec<(usize, Item)>], cell: &Graph, heights: Heights) -> Vec<Vec<Placed>> {
    let height = |item: &Item| match item {
        Item::Lane(_) => heights.lane,
        Item::State(s) if *s >= 2 && *s < cell.nodes.len() + 2 => heights.node,
        Item::State(_) | Item::Output => heights.end,
    };
    let sizes: Vec<Vec<f64>> = order.iter().map(|l| l.iter().map(height).collect()).collect();
    let mut y: Vec<Vec<f64>> = sizes.iter().map(|s| spread(&vec![0.0; s.len()], s)).collect();
    let all = lines(order, reads);
    for sweep in 0..10 {
        let range: Vec<usize> = if sweep % 2 == 0 { (0..order.len()).collect() } else { (0..order.len()).rev().collect() };
        for l in range {
            let wish: Vec<f64> = (0..order[l].len())
                .map(|k| {
                    let before = l.checked_sub(1).map(|p| all[p].iter().filter(|(_, to)| *to == k).map(|(from, _)| y[p][*from]).collect());
                    let after = all.get(l).map(|g| g.iter().filter(|(from, _)| *from == k).map(|(_, to)| y[l + 1][*to]).collect());
                    let near: Vec<f64> = [before, after].into_iter().flatten().flat_map(|v: Vec<f64>| v).collect();
                    if near.is_empty() { y[l][k] } else { near.iter().sum::<f64>() / near.len() as f64 }
                })
                .collect();
            y[l] = spread(&wish, &sizes[l]);
        }
    }
    let placed = |(items, ys): (&Vec<Item>, &Vec<f64>)| items.iter().zip(ys).map(|(item, y)| Placed { item: *item, y: *y }).collect();
    order.iter().zip(&y).map(placed).collect()
}

/// Middles near the wishes, in order and without overlap; their mean shift is zero.
fn spread(wish: &[f64], sizes: &[f64]) -> Vec<f64> {
    let mut y: Vec<f64> = wish.to_vec();
    for i in 1..y.len() {
        y[i] = y[i].max(y[i - 1] + (sizes[i - 1] + sizes[i]) / 2.0);
    }
    let shift = wish.iter().zip(&y).map(|(w, y)| w - y).sum::<f64>() / wish.len().max(1) as f64;
    y.iter().map(|v| v + shift).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::figures::graph::Link;

    fn graph(sources: &[[usize; 2]], concat: &[usize]) -> Graph {
        let nodes = sources.iter().map(|node| node.map(|from| Link { op: "sep_conv_3x3".into(), from })).collect();
        Graph { nodes, concat: concat.to_vec(), stacked: Vec::new() }
    }

    fn chain() -> Graph {
        graph(&[[0, 1], [2, 0], [3, 3]], &[2, 4])
    }

    #[test]
    fn a_state_read_later_has_a_lane_in_every_layer_between() {
        let layers = members(&chain());
        assert_eq!(depths(&chain()), [0, 0, 1, 2, 3]);
        assert_eq!(layers.len(), 5);
        assert_eq!(layers[1], [Item::Lane(0), Item::State(2)]);
        assert_eq!(layers[2], [Item::Lane(2), Item::State(3)]);
        assert_eq!(layers[3], [Item::Lane(2), Item::State(4)]);
        assert_eq!(layers[4], [Item::Output]);
    }

    #[test]
    fn items_of_a_layer_do_not_overlap() {
        let heights = Heights { node: 60.0, end: 30.0, lane: 14.0 };
        for layer in layers(&chain(), heights) {
            for pair in layer.windows(2) {
                assert!(pair[1].y - pair[0].y >= 14.0, "{layer:?}");
            }
        }
    }

    #[test]
    fn a_crossing_that_can_be_avoided_is_avoided() {
        let cell = graph(&[[1, 1], [0, 0]], &[2, 3]);
        let mut order = members(&cell);
        let reads = readers(&cell, &order);
        sort_for_few_crossings(&mut order, &reads);
        assert_eq!(crossings(&lines(&order, &reads)), 0);
    }
}
