//! Running out of memory as an outcome. libtorch reports it by an exception, which tch turns into a panic.

use crate::units::is_exhaustion;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs `f`; exhausted memory comes back as a message, every other panic goes on.
pub fn guard<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    // A panic inside `no_grad` would leave gradients off for the rest of the process; this guard turns them on again.
    let _restore = tch::no_grad_guard();
    catch_unwind(AssertUnwindSafe(|| tch::with_grad(f))).map_err(|payload| match exhaustion(&*payload) {
        Some(message) => format!("{message}; use smaller batches or fewer channels (--set), or a device with more memory"),
        None => resume_unwind(payload),
    })
}

/// A message if a panic's payload speaks of exhausted memory.
pub fn exhaustion(payload: &(dyn Any + Send)) -> Option<String> {
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied())?;
    is_exhaustion(text).then(|| summary(text))
}

/// The size that could not be had, if the text names one.
fn summary(text: &str) -> String {
    // A size may have a point of its own; the sentence ends with one and a space, or the line ends.
    let wanted = text.split("ried to allocate ").nth(1).map(|rest| rest.split(['\n', '\\']).next().unwrap_or(rest));
    let wanted = wanted.map(|rest| rest.split(". ").next().unwrap_or(rest).trim_end_matches('.').trim());
    match wanted {
        Some(size) => format!("out of memory (tried to allocate {size})"),
        None => "out of memory".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exhausted_memory_is_told_from_a_bug() {
        assert_eq!(guard(|| 3), Ok(3));
        let text = guard(|| panic!("DefaultCPUAllocator: can't allocate memory: you tried to allocate 10 bytes")).unwrap_err();
        assert!(text.starts_with("out of memory (tried to allocate 10 bytes); use smaller batches"), "{text}");
        let cuda = "Torch(\"CUDA out of memory. Tried to allocate 31.25 GiB. GPU 0 has a total capacity of 139.81 GiB\\n";
        assert_eq!(summary(cuda), "out of memory (tried to allocate 31.25 GiB)");
        assert!(catch_unwind(|| guard(|| panic!("index out of range"))).is_err());
    }
}
