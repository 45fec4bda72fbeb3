//! A walk through BTF in memory, without copies. A kernel describes about 150,000 types, and the observer needs a few
//! dozen. A tree of all of them took longer to build than the rest of the start.
//!
//! The format: <https://docs.kernel.org/bpf/btf.html>.

use std::collections::HashMap;

/// Id of a type; 0 is `void`.
pub(super) type Id = u32;

/// The kinds that the observer reads, by their number in the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum TypeKind {
    Pointer = 2,
    Struct = 4,
    Union = 5,
    Enum = 6,
    Typedef = 8,
    Volatile = 9,
    Const = 10,
    Restrict = 11,
    Function = 12,
    Prototype = 13,
    TypeTag = 18,
}

/// Kinds that are indexed by name.
const NAMED: [TypeKind; 4] = [TypeKind::Struct, TypeKind::Enum, TypeKind::Typedef, TypeKind::Function];

const MAGIC: u16 = 0xeb9f;

/// Size of `struct btf_type` in bytes: name, kind and length, size or type.
const TYPE: usize = 12;
/// Size of `struct btf_member` in bytes.
const MEMBER: usize = 12;
/// Size of `struct btf_enum` and of `struct btf_param` in bytes.
const PAIR: usize = 8;

/// All types of a kernel.
pub(super) struct Types {
    bytes: Vec<u8>,
    /// Begin and end of the strings in `bytes`.
    strings: (usize, usize),
    /// Offset of each type in `bytes`, by its id minus one.
    places: Vec<u32>,
    /// Name (offset among the strings) and id of each type of a kind, in the order of ids.
    named: HashMap<TypeKind, Vec<(u32, Id)>>,
}

/// A member of a struct or union.
pub(super) struct Member<'a> {
    /// Empty for an anonymous struct or union.
    pub(super) name: &'a [u8],
    pub(super) id: Id,
    /// Offset from the beginning of the struct, bits.
    pub(super) bits: u32,
    pub(super) is_bit_field: bool,
}

impl Types {
    /// Walks through the types once.
    ///
    /// # Errors
    /// The mistake in the bytes.
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self, &'static str> {
        const SHORT: &str = "it is cut short";
        // The magic number is in the byte order of the machine that the file describes.
        let magic = bytes.first_chunk::<2>().map(|magic| u16::from_ne_bytes(*magic));
        if magic != Some(MAGIC) {
            return Err("it does not begin as BTF does");
        }
        let header = |field: usize| number(&bytes, field).and_then(|n| usize::try_from(n).ok()).ok_or(SHORT);
        let (after, types, types_len) = (header(4)?, header(8)?, header(12)?);
        let (strings, strings_len) = (header(16)?, header(20)?);
        let strings = (after + strings, after + strings + strings_len);
        let end = after + types + types_len;
        if end > bytes.len() || strings.1 > bytes.len() {
            return Err(SHORT);
        }
        let mut at = after + types;
        let mut places = Vec::new();
        let mut named: HashMap<TypeKind, Vec<(u32, Id)>> = HashMap::new();
        while at < end {
            let place = u32::try_from(at).map_err(|_| "it is too large")?;
            let (name, info) = (number(&bytes, at).ok_or(SHORT)?, number(&bytes, at + 4).ok_or(SHORT)?);
            places.push(place);
            if let Some(kind) = NAMED.into_iter().find(|kind| *kind as u32 == kind_of(info))
                && name != 0
            {
                let id = Id::try_from(places.len()).map_err(|_| "it is too large")?;
                named.entry(kind).or_default().push((name, id));
            }
            at += TYPE + rest_of(info).ok_or("it has a kind of type that this version does not know")?;
        }
        Ok(Self { bytes, strings, places, named })
    }

    /// The first type of that kind and name.
    pub(super) fn find(&self, kind: TypeKind, name: &str) -> Option<Id> {
        let named = self.named.get(&kind)?;
        named.iter().find(|(at, _)| self.is_string(*at, name.as_bytes())).map(|(_, id)| *id)
    }

    /// The kind of a type; None for `void` and for kinds that the observer does not read.
    pub(super) fn kind(&self, id: Id) -> Option<TypeKind> {
        use TypeKind::{
            Const, Enum, Function, Pointer, Prototype, Restrict, Struct, TypeTag, Typedef, Union, Volatile,
        };
        let all =
            [Pointer, Struct, Union, Enum, Typedef, Volatile, Const, Restrict, Function, Prototype, TypeTag];
        let number = kind_of(self.info(id)?);
        all.into_iter().find(|kind| *kind as u32 == number)
    }

    /// The type that a pointer, typedef, qualifier or function refers to.
    pub(super) fn inner(&self, id: Id) -> Option<Id> {
        number(&self.bytes, self.place(id)? + 8)
    }

    /// Size of a struct in bytes.
    pub(super) fn size(&self, id: Id) -> Option<u32> {
        number(&self.bytes, self.place(id)? + 8)
    }

    pub(super) fn name(&self, id: Id) -> Option<&[u8]> {
        self.string(number(&self.bytes, self.place(id)?)?)
    }

    /// Members of a struct or union.
    pub(super) fn members(&self, id: Id) -> impl Iterator<Item = Member<'_>> {
        let has_bit_fields = self.info(id).is_some_and(|info| info >> 31 == 1);
        self.entries(id, MEMBER).filter_map(move |at| {
            let place = number(&self.bytes, at + 8)?;
            let (bits, size) = if has_bit_fields { (place & 0x00ff_ffff, place >> 24) } else { (place, 0) };
            Some(Member {
                name: self.string(number(&self.bytes, at)?)?,
                id: number(&self.bytes, at + 4)?,
                bits,
                is_bit_field: size != 0,
            })
        })
    }

    /// Types of the parameters of a prototype.
    pub(super) fn parameters(&self, id: Id) -> impl Iterator<Item = Id> {
        self.entries(id, PAIR).filter_map(|at| number(&self.bytes, at + 4))
    }

    /// Names and numbers of an enum.
    pub(super) fn values(&self, id: Id) -> impl Iterator<Item = (&[u8], u32)> {
        self.entries(id, PAIR)
            .filter_map(|at| Some((self.string(number(&self.bytes, at)?)?, number(&self.bytes, at + 4)?)))
    }

    /// Offsets of the entries that follow a type.
    fn entries(&self, id: Id, size: usize) -> impl Iterator<Item = usize> + use<> {
        let (at, count) = match self.place(id).zip(self.info(id)) {
            Some((place, info)) => (place + TYPE, length(info)),
            None => (0, 0),
        };
        (0..count).map(move |index| at + index * size)
    }

    fn info(&self, id: Id) -> Option<u32> {
        number(&self.bytes, self.place(id)? + 4)
    }

    fn place(&self, id: Id) -> Option<usize> {
        let index = usize::try_from(id.checked_sub(1)?).ok()?;
        usize::try_from(*self.places.get(index)?).ok()
    }

    /// The bytes from an offset among the strings to the end of all strings.
    fn strings_from(&self, at: u32) -> Option<&[u8]> {
        let (begin, end) = self.strings;
        self.bytes.get(begin.checked_add(usize::try_from(at).ok()?)?..end)
    }

    fn string(&self, at: u32) -> Option<&[u8]> {
        self.strings_from(at)?.split(|byte| *byte == 0).next()
    }

    fn is_string(&self, at: u32, wanted: &[u8]) -> bool {
        let rest = self.strings_from(at).and_then(|rest| rest.strip_prefix(wanted));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// BTF with these functions, which are ordered by id, without their prototypes. Every other id is a placeholder.
pub(super) fn functions(functions: &[(Id, &str)]) -> Vec<u8> {
    // A forward declaration without a name: a kind that has nothing beyond the common part.
    const NOTHING: [u32; 3] = [0, 7 << 24, 0];
    let (mut types, mut strings) = (Vec::new(), vec![0]);
    for (id, name) in functions {
        let before = usize::try_from(*id).unwrap_or(0).saturating_sub(1);
        types.resize(before, NOTHING);
        // Names are short and few, so this cannot overflow.
        let at = u32::try_from(strings.len()).unwrap_or(0);
        types.push([at, (TypeKind::Function as u32) << 24, 0]);
        strings.extend_from_slice(name.as_bytes());
        strings.push(0);
    }
    let types = types.as_flattened().iter().flat_map(|number| number.to_ne_bytes()).collect::<Vec<_>>();
    let len = |part: &[u8]| u32::try_from(part.len()).unwrap_or(0);
    let header = [24, 0, len(&types), len(&types), len(&strings)];
    let mut bytes = MAGIC.to_ne_bytes().to_vec();
    // Version 1, no flags.
    bytes.extend([1, 0]);
    bytes.extend(header.iter().flat_map(|number| number.to_ne_bytes()));
    [bytes, types, strings].concat()
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|chunk| u32::from_ne_bytes(*chunk))
}

const fn kind_of(info: u32) -> u32 {
    info >> 24 & 0x1f
}

fn length(info: u32) -> usize {
    usize::try_from(info & 0xffff).unwrap_or(0)
}

/// Number of bytes that follow `struct btf_type` for this kind; None for a kind that is newer than 6.18.
fn rest_of(info: u32) -> Option<usize> {
    let length = length(info);
    Some(match kind_of(info) {
        // Integers, variables and declaration tags have one more number, arrays three.
        1 | 14 | 17 => 4,
        3 => 12,
        // Structs, unions, sections, 64-bit enums.
        4 | 5 | 15 | 19 => length * 12,
        // Enums, prototypes.
        6 | 13 => length * 8,
        // Pointers, forward declarations, typedefs, qualifiers, functions, floats, type tags.
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}
