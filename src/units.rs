//! Quantities with their units, and how they are read and printed.

use crate::error::{Result, usage};

/// Seconds in a day: a GPU-day is that many device-seconds on one device.
pub const SECONDS_PER_DAY: f64 = 86_400.0;

/// Longest duration that is read: a hundred years.
const LONGEST: f64 = 36_500.0 * SECONDS_PER_DAY;
/// Largest size that is read: an exbibyte.
const LARGEST: f64 = (1u64 << 60) as f64;

/// Reads a duration such as `90s`, `10m`, `2h`, `0.5d`; a bare number is refused because its unit is unknown.
pub fn parse_duration(text: &str) -> Result<f64> {
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", SECONDS_PER_DAY)];
    let seconds = quantity(text, &units).filter(|s| (0.0..=LONGEST).contains(s));
    seconds.ok_or_else(|| {
        usage!("'{}' is not a duration; write a number and a unit, such as 90s, 10m, 2h or 0.5d, at most 36500d", text.trim())
    })
}

/// Reads a size such as `800MiB`, `2GiB`, `2GB` or plain bytes.
pub fn parse_bytes(text: &str) -> Result<u64> {
    let binary = [("KiB", 1024.0), ("MiB", 1_048_576.0), ("GiB", 1_073_741_824.0)];
    let decimal = [("kB", 1e3), ("KB", 1e3), ("MB", 1e6), ("GB", 1e9), ("B", 1.0), ("", 1.0)];
    let bytes = quantity(text, &[&binary[..], &decimal].concat()).filter(|b| (1.0..=LARGEST).contains(b));
    bytes.map(|b| b as u64).ok_or_else(|| usage!("'{}' is not a size; write for example 800MiB or 2GiB", text.trim()))
}

/// A number with the first unit that fits.
fn quantity(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let number = |unit: &str| text.trim().strip_suffix(unit)?.trim().parse::<f64>().ok();
    units.iter().find_map(|(unit, scale)| Some(number(unit)? * scale)).filter(|q| q.is_finite())
}

/// Prints seconds with the unit that suits their size: `0.21 s`, `12.3 s`, `4m 05s`, `3h 12m`, `2.5 d`.
pub fn show_seconds(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "not measured".into();
    }
    let whole = seconds.round() as u64;
    match seconds {
        s if s < 10.0 => format!("{s:.2} s"),
        s if s < 100.0 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{}m {:02}s", whole / 60, whole % 60),
        s if s < 2.0 * SECONDS_PER_DAY => format!("{}h {:02}m", whole / 3600, whole % 3600 / 60),
        s => format!("{:.1} d", s / SECONDS_PER_DAY),
    }
}

/// Prints a byte count in binary units: `812 B`, `3.4 MiB`, `2.1 GiB`.
pub fn show_bytes(bytes: u64) -> String {
    let power = (1..=4).take_while(|power| bytes >> (10 * power) > 0).count();
    let (value, unit) = (bytes as f64 / 1024f64.powi(power as i32), ["B", "KiB", "MiB", "GiB", "TiB"][power]);
    if power == 0 { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

/// Prints a whole number in groups of three: `3,349,342`.
pub fn show_count(n: u64) -> String {
    indicatif::HumanCount(n).to_string()
}

/// Bytes in hexadecimal, two digits each, as digests are written.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// True if a panic's or an error's text speaks of exhausted memory.
pub fn is_exhaustion(text: &str) -> bool {
    ["out of memory", "can't allocate memory", "CUDA_ERROR_OUT_OF_MEMORY", "bad_alloc"].iter().any(|sign| text.contains(sign))
}

/// True if a panic's text says that a thread could not be started, by the standard library or by a pool of threads.
pub fn is_want_of_threads(text: &str) -> bool {
    ["failed to spawn thread", "ThreadPoolBuildError", "Resource temporarily unavailable"].iter().any(|sign| text.contains(sign))
}

/// Raised digits.
#[cfg(feature = "report")]
pub(crate) const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];

/// A number in raised digits: of a footnote, or an exponent.
#[cfg(feature = "report")]
pub(crate) fn raised(number: usize) -> String {
    number.to_string().bytes().map(|b| RAISED[usize::from(b - b'0')]).collect()
}

/// Three significant digits, without exponent down to a millionth.
#[cfg(feature = "report")]
pub(crate) fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return "0".into();
    }
    let magnitude = value.abs().log10().floor() as i32;
    if magnitude < -6 { format!("{value:.2e}") } else { format!("{value:.*}", (2 - magnitude).max(0) as usize) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("90s").unwrap(), 90.0);
        assert_eq!(parse_duration("10m").unwrap(), 600.0);
        assert_eq!(parse_duration("0.5d").unwrap(), 43_200.0);
        assert_eq!(parse_duration("250ms").unwrap(), 0.25);
        for bad in ["", "10", "m", "-3s", "infs", "1w", "1e9d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_binary_or_decimal() {
        assert_eq!(parse_bytes("2GiB").unwrap(), 2 << 30);
        assert_eq!(parse_bytes("2 GB").unwrap(), 2_000_000_000);
        assert_eq!(parse_bytes("4096").unwrap(), 4096);
        assert!(parse_bytes("lots").is_err() && parse_bytes("1e30GiB").is_err());
    }

    #[test]
    fn quantities_print_with_their_unit() {
        assert_eq!(show_seconds(0.214), "0.21 s");
        assert_eq!(show_seconds(245.0), "4m 05s");
        assert_eq!(show_seconds(f64::NAN), "not measured");
        assert_eq!(show_bytes(812), "812 B");
        assert_eq!(show_bytes(3 << 20), "3.0 MiB");
        assert_eq!(show_count(3_349_342), "3,349,342");
        assert_eq!(show_count(12), "12");
    }

    #[cfg(feature = "report")]
    #[test]
    fn three_digits_are_kept() {
        let cases = [(0.000_348_61, "0.000349"), (4.0, "4.00"), (3150.0, "3150"), (12.34, "12.3"), (1.5e-9, "1.50e-9"), (0.0, "0")];
        for (value, expected) in cases {
            assert_eq!(significant(value), expected);
        }
    }
}
