//! Protocol buffers: every message is described once, a line a field.

/// Messages, each field with its name, type and what prost's derive has to know: the kind on the wire and the number in the published schema.
macro_rules! messages {
    ($($(#[$about:meta])* $message:ident { $($field:ident: $type:ty = $wire:tt,)* })+) => {$(
        $(#[$about])*
        #[derive(Clone, PartialEq, prost::Message)]
        pub struct $message {
            $(#[prost $wire] pub $field: $type,)*
        }
    )+};
}

pub(crate) use messages;
