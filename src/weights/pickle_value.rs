//! Python values as data; nothing of a pickle is executed.

use std::sync::Arc;

/// Index of a value in its [`Pickle`].
pub type ValueId = u32;

/// A Python value as data.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of up to 64 bits.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A string.
    Text(Arc<str>),
    /// Bytes, or an integer of more than 64 bits: nothing here needs their contents.
    Opaque,
    /// A tuple, list or set.
    Items(Vec<ValueId>),
    /// A dictionary's entries in their order.
    Dict(Vec<(ValueId, ValueId)>),
    /// A class or function by name.
    Global(Arc<str>, Arc<str>),
    /// A reference outside the pickle; PyTorch's storages.
    Persistent(ValueId),
    /// An object: the call that would have made it.
    Object(Box<RecordedCall>),
}

/// A call that was recorded instead of being made, with everything later put into its result.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedCall {
    /// What would have been called: normally a [`Value::Global`].
    pub callee: ValueId,
    /// Its arguments: normally [`Value::Items`].
    pub arguments: ValueId,
    /// The state that would have been set on the result.
    pub state: Option<ValueId>,
    /// Entries that would have been set, where the result is a dictionary.
    pub entries: Vec<(ValueId, ValueId)>,
    /// Items that would have been appended, where it is a list.
    pub items: Vec<ValueId>,
}

/// The values of one pickle.
#[derive(Debug)]
pub struct Pickle {
    pub(super) values: Vec<Value>,
    pub(super) root: ValueId,
    /// Bytes of the input it took.
    pub length: usize,
}
