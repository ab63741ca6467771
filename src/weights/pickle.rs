//! A pickle reader (protocols 2 to 4) that builds a graph of plain values and executes nothing.
//!
//! Classes and calls are recorded as data ([`RecordedCall`]), never looked up, so a pickle with code in it is only a strange
//! value. All values live in one arena and refer to each other by index: cycles, deep nesting and sharing cost no
//! recursion, and every opcode adds at most one value, so memory stays within a small multiple of the input.

use super::pickle_value::{Pickle, RecordedCall, Value, ValueId};
use std::collections::HashMap;
use std::sync::Arc;

/// Limit of values: no checkpoint has more (the base model with optimizer state: 20 thousand); keeps memory below 100
/// MB for malicious files.
const MAX_VALUES: usize = 1 << 20;
/// The base model with its optimizer state takes 2 MB. What refers to values that are there already costs memory, too,
/// up to four bytes for each byte read.
const MAX_BYTES: usize = 32 << 20;

/// Reads the pickle at the beginning of `data`.
///
/// # Errors
/// What is wrong with it: cut off, malformed, or of an unsupported protocol.
pub fn parse(data: &[u8]) -> Result<Pickle, String> {
    let data = data.get(..MAX_BYTES).unwrap_or(data);
    let mut machine =
        PickleVm { data, at: 0, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(), values: vec![] };
    loop {
        let opcode = machine.byte()?;
        if opcode == b'.' {
            let root = machine.pop()?;
            return Ok(Pickle { values: machine.values, root, length: machine.at });
        }
        machine.step(opcode)?;
    }
}

struct PickleVm<'a> {
    data: &'a [u8],
    at: usize,
    stack: Vec<ValueId>,
    marks: Vec<usize>,
    memo: HashMap<u32, ValueId>,
    values: Vec<Value>,
}

type Step = Result<(), String>;

impl<'a> PickleVm<'a> {
    fn step(&mut self, opcode: u8) -> Step {
        match opcode {
            0x80 => self.protocol(),
            0x95 => self.take(8).map(drop),
            b'N' | 0x88 | 0x89 | b'J' | b'K' | b'M' | 0x8a | 0x8b | b'G' => self.scalar(opcode),
            b'X' | 0x8c | 0x8d | b'U' | b'T' | b'C' | b'B' | 0x8e => self.string(opcode),
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.memo(opcode),
            b'(' | b'0' | b'1' | b'2' => self.stack(opcode),
            b')' | b']' | b'}' | 0x8f | 0x85 | 0x86 | 0x87 | b't' | 0x91 => self.container(opcode),
            b'a' | b'e' | b's' | b'u' | 0x90 => self.fill(opcode),
            b'c' | 0x93 | b'R' | 0x81 | 0x92 | b'b' | b'Q' => self.object(opcode),
            _ => Err(format!("its pickle has the unknown opcode {opcode:#04x} at byte {}", self.at - 1)),
        }
    }

    fn protocol(&mut self) -> Step {
        match self.byte()? {
            2..=4 => Ok(()),
            other => Err(format!("it is a pickle of protocol {other}; protocols 2 to 4 can be read")),
        }
    }

    fn scalar(&mut self, opcode: u8) -> Step {
        let value = match opcode {
            b'N' => Value::None,
            0x88 | 0x89 => Value::Bool(opcode == 0x88),
            b'J' => Value::Int(i64::from(self.number(4)? as u32 as i32)),
            b'K' => Value::Int(self.number(1)? as i64),
            b'M' => Value::Int(self.number(2)? as i64),
            b'G' => Value::Float(f64::from_bits(self.number(8)?.swap_bytes())),
            _ => {
                let length = self.number(if opcode == 0x8a { 1 } else { 4 })?;
                long(self.take(length)?)
            }
        };
        self.push(value)
    }

    fn string(&mut self, opcode: u8) -> Step {
        let width = match opcode {
            0x8c | b'U' | b'C' => 1,
            b'X' | b'T' | b'B' => 4,
            _ => 8,
        };
        let length = self.number(width)?;
        let bytes = self.take(length)?;
        match opcode {
            b'C' | b'B' | 0x8e => self.push(Value::Opaque),
            _ => self.push(Value::Text(String::from_utf8_lossy(bytes).into())),
        }
    }

    fn memo(&mut self, opcode: u8) -> Step {
        let width = if matches!(opcode, b'r' | b'j') { 4 } else { 1 };
        let slot = if opcode == 0x94 { self.memo.len() as u32 } else { self.number(width)? as u32 };
        if matches!(opcode, b'h' | b'j') {
            let id =
                *self.memo.get(&slot).ok_or_else(|| format!("its pickle refers to value {slot} before making it"))?;
            self.stack.push(id);
        } else {
            let id = *self.stack.last().ok_or_else(|| self.malformed())?;
            self.memo.insert(slot, id);
            if self.memo.len() > MAX_VALUES {
                return Err(too_many());
            }
        }
        Ok(())
    }

    fn stack(&mut self, opcode: u8) -> Step {
        match opcode {
            b'(' if self.marks.len() >= MAX_VALUES => return Err(too_many()),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            _ => self.stack.push(*self.stack.last().ok_or_else(|| self.malformed())?),
        }
        Ok(())
    }

    fn container(&mut self, opcode: u8) -> Step {
        let value = match opcode {
            b'}' => Value::Dict(Vec::new()),
            b')' | b']' | 0x8f => Value::Items(Vec::new()),
            b't' | 0x91 => Value::Items(self.pop_mark()?),
            _ => {
                let first = self.stack.len().checked_sub(usize::from(opcode - 0x84));
                Value::Items(self.stack.split_off(first.ok_or_else(|| self.malformed())?))
            }
        };
        self.push(value)
    }

    fn fill(&mut self, opcode: u8) -> Step {
        let items = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_mark()?,
        };
        let target = *self.stack.last().ok_or_else(|| self.malformed())?;
        let malformed = self.malformed();
        let target = self.values.get_mut(target as usize).ok_or(malformed.clone())?;
        if matches!(opcode, b's' | b'u') {
            let pairs = items.chunks_exact(2).map(|pair| (pair[0], pair[1]));
            match target {
                Value::Dict(entries) => entries.extend(pairs),
                Value::Object(call) => call.entries.extend(pairs),
                _ => return Err(malformed),
            }
        } else {
            match target {
                Value::Items(list) => list.extend(items),
                Value::Object(call) => call.items.extend(items),
                _ => return Err(malformed),
            }
        }
        Ok(())
    }

    fn object(&mut self, opcode: u8) -> Step {
        match opcode {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(module, name))
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.values.get(module as usize), self.values.get(name as usize)) {
                    (Some(Value::Text(module)), Some(Value::Text(name))) => {
                        let global = Value::Global(module.clone(), name.clone());
                        self.push(global)
                    }
                    _ => Err(self.malformed()),
                }
            }
            b'Q' => {
                let reference = self.pop()?;
                self.push(Value::Persistent(reference))
            }
            b'b' => self.build(),
            _ => {
                if opcode == 0x92 {
                    self.pop()?;
                }
                let (arguments, callee) = (self.pop()?, self.pop()?);
                let call = RecordedCall { callee, arguments, state: None, entries: Vec::new(), items: Vec::new() };
                self.push(Value::Object(Box::new(call)))
            }
        }
    }

    fn build(&mut self) -> Step {
        let state = self.pop()?;
        let target = *self.stack.last().ok_or_else(|| self.malformed())?;
        if let Some(Value::Object(call)) = self.values.get_mut(target as usize) {
            call.state = Some(state);
        }
        Ok(())
    }

    fn push(&mut self, value: Value) -> Step {
        if self.values.len() >= MAX_VALUES {
            return Err(too_many());
        }
        self.stack.push(self.values.len() as ValueId);
        self.values.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<ValueId, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(self.malformed());
        }
        self.stack.pop().ok_or_else(|| self.malformed())
    }

    fn pop_mark(&mut self) -> Result<Vec<ValueId>, String> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len()).ok_or_else(|| self.malformed())?;
        Ok(self.stack.split_off(mark))
    }

    fn malformed(&self) -> String {
        format!("its pickle is malformed at byte {}", self.at)
    }

    fn cut_off(&self) -> String {
        match self.data.len() {
            MAX_BYTES => format!("its pickle is longer than {} MiB", MAX_BYTES >> 20),
            _ => "its pickle is cut off".into(),
        }
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.number(1).map(|byte| byte as u8)
    }

    /// A little-endian number of `width` bytes.
    fn number(&mut self, width: u64) -> Result<u64, String> {
        Ok(self.take(width)?.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], String> {
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        let bytes = end.and_then(|end| self.data.get(self.at..end)).ok_or_else(|| self.cut_off())?;
        self.at += bytes.len();
        Ok(bytes)
    }

    fn line(&mut self) -> Result<Arc<str>, String> {
        let rest = self.data.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|&byte| byte == b'\n').ok_or_else(|| self.cut_off())?;
        self.at += end + 1;
        Ok(String::from_utf8_lossy(&rest[..end]).into())
    }
}

fn too_many() -> String {
    format!("its pickle makes more than {MAX_VALUES} values")
}

/// Python's two's-complement integer of any length.
fn long(bytes: &[u8]) -> Value {
    if bytes.len() > 8 {
        return Value::Opaque;
    }
    let unsigned = bytes.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
    let unused = 64 - 8 * bytes.len() as u32;
    Value::Int(if unused == 64 { 0 } else { (unsigned << unused) as i64 >> unused })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(data: &[u8]) -> Result<Value, String> {
        parse(data).map(|pickle| pickle.values[pickle.root as usize].clone())
    }

    #[test]
    fn scalars_of_every_width() {
        assert_eq!(root(b"\x80\x02J\xfe\xff\xff\xff.").unwrap(), Value::Int(-2));
        assert_eq!(root(b"\x80\x02M\x01\x02.").unwrap(), Value::Int(513));
        assert_eq!(root(b"\x80\x02\x8a\x01\xff.").unwrap(), Value::Int(-1));
        assert_eq!(root(b"\x80\x02\x8a\x00.").unwrap(), Value::Int(0));
        assert_eq!(root(b"\x80\x02\x8a\x09\0\0\0\0\0\0\0\0\x01.").unwrap(), Value::Opaque);
        assert_eq!(root(b"\x80\x02G\x3f\xf8\0\0\0\0\0\0.").unwrap(), Value::Float(1.5));
        assert_eq!(root(b"\x80\x04\x8c\x02hi\x94.").unwrap(), Value::Text("hi".into()));
    }

    #[test]
    fn code_is_recorded_and_never_run() {
        let shell = b"\x80\x02cposix\nsystem\nq\x00X\x04\x00\x00\x00evil\x85R.";
        let pickle = parse(shell).unwrap();
        let Value::Object(call) = &pickle.values[pickle.root as usize] else { panic!("not a call") };
        assert_eq!(pickle.values[call.callee as usize], Value::Global("posix".into(), "system".into()));
    }

    #[test]
    fn a_list_may_contain_itself() {
        let pickle = parse(b"\x80\x02]q\x00h\x00a.").unwrap();
        assert_eq!(pickle.values, [Value::Items(vec![0])]);
    }

    #[test]
    fn malformed_input_is_an_error() {
        for (bad, says) in [
            (&b"\x80\x02"[..], "cut off"),
            (b"\x80\x05N.", "protocol 5"),
            (b"\x80\x02.", "malformed"),
            (b"\x80\x02(t1.", "malformed"),
            (b"\x80\x02(0.", "malformed"),
            (b"\x80\x02h\x07.", "before making it"),
            (b"\x80\x02X\xff\xff\xff\xffa.", "cut off"),
            (b"I1\n.", "unknown opcode"),
        ] {
            let message = parse(bad).unwrap_err();
            assert!(message.contains(says), "{message}");
        }
        let bomb = [&b"\x80\x02"[..], &vec![b'}'; MAX_VALUES + 1]].concat();
        assert!(parse(&bomb).unwrap_err().contains("more than"));
        for opcode in [b'(', b'\x94'] {
            let bomb = [&b"\x80\x02N"[..], &vec![opcode; MAX_VALUES + 1], b"."].concat();
            // Memoising numbers each value anew: as many slots as opcodes.
            assert!(parse(&bomb).unwrap_err().contains("more than"), "{opcode}");
        }
        let copies = [&b"\x80\x02N"[..], &vec![b'2'; MAX_BYTES]].concat();
        assert!(parse(&copies).unwrap_err().contains("longer than 32 MiB"));
    }
}
