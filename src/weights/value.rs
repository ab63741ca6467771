//! Python values as data; nothing of a pickle is executed.

use std::sync::Arc;

/// Index of a value in its [`Pickle`].
pub type Id = u32;

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
    Items(Vec<Id>),
    /// A dictionary's entries in their order.
    Dict(Vec<(Id, Id)>),
    /// A class or function by name.
    Global(Arc<str>, Arc<str>),
    /// A reference outside the pickle; PyTorch's storages.
    Persistent(Id),
    /// An object: the call that would have made it.
    Object(Box<Call>),
}

/// A call that was recorded instead of being made, with everything later put into its result.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What would have been called: normally a [`Value::Global`].
    pub callee: Id,
    /// Its arguments: normally [`Value::Items`].
    pub arguments: Id,
    /// The state that would have been set on the result.
    pub state: Option<Id>,
    /// Entries that would have been set, where the result is a dictionary.
    pub entries: Vec<(Id, Id)>,
    /// Items that would have been appended, where it is a list.
    pub items: Vec<Id>,
}

/// The values of one pickle.
#[derive(Debug)]
pub struct Pickle {
    pub(super) values: Vec<Value>,
    pub(super) root: Id,
    /// Bytes of the input it took.
    pub length: usize,
}
