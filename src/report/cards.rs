//! How fast cards are on paper: the only thing that is known of a card that is not at hand.

/// The rule behind every estimate.
pub(super) const RULE: &str = "An estimate, not a measurement: days measured here, times the peak float32 rate of the card here over that of the paper's card, \
     as the makers state them (tensor cores left out). It knows nothing of memory, of kernels, or of how small a part of the peak small networks reach.";

/// Words that a card's name has, and its peak in float32 without tensor cores, TFLOPS, from the maker's data sheet. A name takes the first entry
/// whose words it has all.
const PEAKS: [(&[&str], f64); 17] = [
    (&["K40"], 4.29),
    // The paper does not say which: PCIe 9.3, SXM2 10.6.
    (&["P100"], 10.6),
    (&["1080", "Ti"], 11.34),
    (&["TITAN", "Xp"], 12.15),
    (&["V100", "SXM2"], 15.7),
    (&["V100"], 14.0),
    (&["2080", "Ti"], 13.45),
    (&["T4"], 8.1),
    (&["A100"], 19.5),
    (&["A10"], 31.2),
    (&["L40S"], 91.6),
    (&["L4"], 30.3),
    (&["3090"], 35.58),
    (&["4090"], 82.58),
    (&["H100", "PCIe"], 51.0),
    (&["H100"], 67.0),
    (&["H200"], 67.0),
];

fn peak(name: &str) -> Option<f64> {
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let has = |w: &str| words.iter().any(|v| v.eq_ignore_ascii_case(w));
    PEAKS.iter().find(|(needed, _)| needed.iter().all(|w| has(w))).map(|(_, tflops)| *tflops)
}

/// Peak of the card here over that of the card there; `None` if either is not known.
pub(super) fn ratio(here: &str, there: &str) -> Option<f64> {
    Some(peak(here)? / peak(there)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_card_of_a_claim_is_known_and_a_processor_is_not() {
        for claim in super::super::claims::claims().unwrap() {
            assert!(claim.gpu_model.as_deref().is_none_or(|m| peak(m).is_some()), "{:?}", claim.gpu_model);
        }
        assert_eq!((peak("2 cores, AMD EPYC"), peak("NVIDIA L4"), peak("NVIDIA A100-SXM4-80GB")), (None, Some(30.3), Some(19.5)));
        assert_eq!((peak("NVIDIA H100 PCIe"), peak("NVIDIA H100 80GB HBM3")), (Some(51.0), Some(67.0)));
        assert!((ratio("NVIDIA P100", "NVIDIA K40").unwrap() - 10.6 / 4.29).abs() < 1e-12);
    }
}
