//! What normalisations need of ONNX.

use super::convert::Converter;
use super::parts::{Call, float};
use crate::error::Result;

impl Converter {
    /// Names of scale and shift of every channel; 1 and 0 where a norm has none.
    pub(super) fn scale_and_shift(&mut self, call: Call, out: &str, at: [usize; 2], channels: i64) -> Result<[String; 2]> {
        let mut name = |at: usize, what: &str, value: f32| -> Result<String> {
            let given = call.optional(at)?.map(String::from);
            Ok(given.unwrap_or_else(|| self.floats(out, what, &[channels], &vec![value; channels as usize])))
        };
        Ok([name(at[0], "scale", 1.0)?, name(at[1], "shift", 0.0)?])
    }

    /// (x, groups, weight, bias, epsilon, ...). ONNX normalises groups from version 18 on only, and rightly from 21: here the maps of a group become one
    /// channel, which is normalised, and then are maps again.
    pub(super) fn group_norm(&mut self, call: Call, out: &str) -> Result<()> {
        let (x, groups) = (call.value(0)?, call.int(1)?);
        let map = self.shape(call, x)?[1..].to_vec();
        // 0 is the size that is there, -1 all that is left.
        let joined = self.ints(out, "joined", &[0, groups, -1]);
        let apart = self.ints(out, "apart", &[&[0], &map[..]].concat());
        let ones = self.floats(out, "ones", &[groups], &vec![1.0; groups as usize]);
        let zeros = self.floats(out, "zeros", &[groups], &vec![0.0; groups as usize]);
        let [flat, normed, maps] = ["flat", "normed", "maps"].map(|step| format!("{out}.{step}"));
        self.push("Reshape", &[x, &joined], &flat, Vec::new())?;
        self.push("InstanceNormalization", &[&flat, &ones, &zeros], &normed, vec![float("epsilon", call.float(4)?)])?;
        if call.optional(2)?.is_none() && call.optional(3)?.is_none() {
            return self.push("Reshape", &[&normed, &apart], out, Vec::new());
        }
        self.push("Reshape", &[&normed, &apart], &maps, Vec::new())?;
        let parts = self.scale_and_shift(call, out, [2, 3], map[0])?;
        // [C] → [C, 1, 1], which fits every map.
        let axes = self.ints(out, "axes", &[1, 2]);
        let [scale, shift] = ["scale.maps", "shift.maps"].map(|step| format!("{out}.{step}"));
        self.push("Unsqueeze", &[&parts[0], &axes], &scale, Vec::new())?;
        self.push("Unsqueeze", &[&parts[1], &axes], &shift, Vec::new())?;
        let scaled = format!("{out}.scaled");
        self.push("Mul", &[&maps, &scale], &scaled, Vec::new())?;
        self.push("Add", &[&scaled, &shift], out, Vec::new())
    }
}
