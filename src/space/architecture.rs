//! An architecture of any space.

use super::{CellGraph, Space, named};
use crate::error::Result;
use crate::units::hex;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::any::Any;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Name of the field that says which space an architecture belongs to.
const TAG: &str = "space";

/// What a space says of its architectures. A file holds the fields of the type, which therefore is a struct.
pub trait Genotype: Clone + Debug + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The space.
    const SPACE: &'static Space;

    /// Checks that it belongs to the space, or says where it does not.
    fn check(&self) -> Result<()>;

    /// The form that all equivalent architectures share. It must not be asked of what fails [`Genotype::check`].
    fn canonical(&self) -> Self {
        self.clone()
    }

    /// The cells to draw, each with its name; none for what has no cells.
    fn cells(&self) -> Vec<(&'static str, CellGraph)> {
        Vec::new()
    }
}

/// An architecture of any space: a genotype whose type [`Architecture::get`] asks for.
#[derive(Clone, Debug)]
pub struct Architecture(Arc<dyn Erased>);

/// A [`Genotype`] of unknown type.
trait Erased: Any + Debug + Send + Sync {
    fn space(&self) -> &'static Space;
    fn check(&self) -> Result<()>;
    fn canonical(&self) -> Architecture;
    fn cells(&self) -> Vec<(&'static str, CellGraph)>;
    fn fields(&self) -> Value;
}

impl<G: Genotype> Erased for G {
    fn space(&self) -> &'static Space {
        G::SPACE
    }

    fn check(&self) -> Result<()> {
        Genotype::check(self)
    }

    fn canonical(&self) -> Architecture {
        Genotype::canonical(self).into()
    }

    fn cells(&self) -> Vec<(&'static str, CellGraph)> {
        Genotype::cells(self)
    }

    fn fields(&self) -> Value {
        serde_json::to_value(self).expect("an architecture is plain data")
    }
}

impl Architecture {
    /// Its space.
    pub fn space(&self) -> &'static Space {
        self.0.space()
    }

    /// The genotype, if it is of this type.
    pub fn get<G: Genotype>(&self) -> Option<&G> {
        (&*self.0 as &dyn Any).downcast_ref()
    }

    /// SHA-256 (hexadecimal) of the canonical form; equal for isomorphic cells.
    pub fn hash(&self) -> String {
        let text = serde_json::to_string(&self.0.canonical()).expect("an architecture is plain data");
        hex(&Sha256::digest(text.as_bytes()))
    }

    /// Checks that it belongs to its space, or says where it does not.
    pub fn check(&self) -> Result<()> {
        self.0.check()
    }

    /// The cells to draw, each with its name; none for a whole network.
    pub fn cells(&self) -> Vec<(&'static str, CellGraph)> {
        self.0.cells()
    }

    /// What a file holds: the name of the space, then the fields of the genotype.
    fn file(&self) -> Map<String, Value> {
        let mut file = Map::from_iter([(TAG.to_string(), Value::from(self.space().name))]);
        if let Value::Object(fields) = self.0.fields() {
            file.extend(fields);
        }
        file
    }

    /// Whether its network classifies every pixel; the others classify the whole image.
    pub fn classifies_pixels(&self) -> bool {
        self.space().pixels
    }
}

impl<G: Genotype> From<G> for Architecture {
    fn from(genotype: G) -> Self {
        Self(Arc::new(genotype))
    }
}

impl PartialEq for Architecture {
    /// Whether files would tell them apart.
    fn eq(&self, other: &Self) -> bool {
        self.file() == other.file()
    }
}

impl Eq for Architecture {}

impl Hash for Architecture {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.file().hash(state);
    }
}

impl Serialize for Architecture {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.file().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Architecture {
    /// An unknown space, and a field that its genotypes do not have, are errors.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let mut fields = Map::deserialize(deserializer)?;
        let name = fields.shift_remove(TAG).ok_or_else(|| D::Error::missing_field(TAG))?;
        let space = named(name.as_str().ok_or_else(|| D::Error::custom(format!("{TAG} is the name of one, not {name}")))?);
        (space.map_err(D::Error::custom)?.read)(Value::Object(fields)).map_err(D::Error::custom)
    }
}

/// Reads a genotype; what a [`Space`] of architectures of one type has as its `read`.
pub fn read<G: Genotype>(fields: Value) -> serde_json::Result<Architecture> {
    serde_json::from_value::<G>(fields).map(Architecture::from)
}
