//! What made the runs: program, libraries, machine, data.

use super::frame::Row;
use super::grid::Grid;
use std::collections::BTreeMap;

/// Digits of a commit or a hash that are shown; `results.csv` has all.
const DIGITS: usize = 12;

/// One row for each combination of program, device and data, with how many finished runs came of it.
pub(super) fn provenance(rows: &[Row]) -> Grid {
    let mut counts: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for m in rows.iter().filter(|r| r.counts()).filter_map(|r| r.manifest.as_ref()) {
        let short = |hash: &str| hash.chars().take(DIGITS).collect::<String>();
        let changed = if m.program.dirty { ", with changes" } else { "" };
        let device = &m.device;
        let cells = vec![
            m.dataset.clone(),
            short(&m.data.hash),
            short(&m.data.split_hash),
            format!("{} ({}{changed})", m.program.version, short(&m.program.commit)),
            m.libtorch.clone(),
            device.name.clone(),
            format!("{} of {}", device.threads, device.cores),
        ];
        *counts.entry(cells).or_default() += 1;
    }
    let line = |(mut cells, n): (Vec<String>, usize)| {
        cells.push(n.to_string());
        cells
    };
    Grid {
        title: "Provenance".into(),
        head: vec!["data set", "data hash", "split hash", "naslab (commit)", "libtorch", "device", "threads of cores", "runs"],
        rows: counts.into_iter().map(line).collect(),
        left: 7,
        ..Grid::default()
    }
}
