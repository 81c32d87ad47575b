//! The operations of a space, each typed once.

/// An enumeration of operations from a list of variants and their names in a genotype. The order decides the canonical form of a cell, and so
/// the hashes of architectures: never change it.
macro_rules! operations {
    ($(#[$about:meta])* $Op:ident { $($(#[$doc:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $Op {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)+
        }

        impl $Op {
            /// All of them, in the order of their declaration.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The name in a genotype.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

pub(super) use operations;
