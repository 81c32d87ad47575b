//! Mean, standard deviation, and where a variance comes from; with the feature `report`, inference from small samples and correlations.

#[cfg(feature = "report")]
pub(crate) mod correlation;
#[cfg(feature = "report")]
pub(crate) mod inference;

/// Mean; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Sample standard deviation (n - 1); `None` for fewer than two values.
pub fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    Some((squares / (values.len() as f64 - 1.0)).sqrt())
}

/// Both as they are printed, `93.95 ± 0.39`; the mean alone of one value, `None` of nothing.
pub fn spread(values: &[f64]) -> Option<String> {
    let mean = mean(values)?;
    Some(deviation(values).map_or_else(|| format!("{mean:.2}"), |deviation| format!("{mean:.2} ± {deviation:.2}")))
}

/// Variance of single values around the mean of their group, pooled over the groups of at least two; `None` without such.
pub fn variance_within(groups: &[Vec<f64>]) -> Option<f64> {
    mean(&groups.iter().filter_map(|g| deviation(g)).map(|d| d * d).collect::<Vec<_>>())
}

/// Share of the variance of single values that lies between groups of equal size, by a one-way analysis of variance: (MSB − MSW) / n of the sum of that and MSW. `None` where groups have
/// other sizes, fewer than two values, or nothing differs.
pub fn share_between(groups: &[Vec<f64>]) -> Option<f64> {
    let size = groups.first()?.len();
    if size < 2 || groups.len() < 2 || groups.iter().any(|g| g.len() != size) {
        return None;
    }
    let means: Vec<f64> = groups.iter().filter_map(|g| mean(g)).collect();
    let within = variance_within(groups)?;
    let between = (deviation(&means)?.powi(2) - within / size as f64).max(0.0);
    (between + within > 0.0).then(|| between / (between + within))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variance_lies_between_groups_or_within_them() {
        // By hand: means 2 and 6, whose variance is 8; each group has variance 2, so that 8 - 2 / 2 = 7 lies between.
        assert_eq!(share_between(&[vec![1.0, 3.0], vec![5.0, 7.0]]), Some(7.0 / 9.0));
        assert_eq!(share_between(&[vec![1.0, 3.0], vec![3.0, 1.0]]), Some(0.0));
        assert_eq!(share_between(&[vec![1.0, 1.0], vec![2.0, 2.0]]), Some(1.0));
        assert_eq!(share_between(&[vec![1.0, 1.0], vec![1.0, 1.0]]), None);
        assert_eq!(share_between(&[vec![1.0], vec![2.0]]), None);
        assert_eq!(share_between(&[vec![1.0, 2.0], vec![2.0]]), None);
    }
}
