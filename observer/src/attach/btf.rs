//! The running kernel's BTF: field offsets, argument positions, enum names. Nothing here depends on a version number.

mod types;

use std::path::Path;

use observer_ebpf::abi::setting::{ABSENT, FIELDS, SIZES, Setting, TYPES};
use thiserror::Error;

use self::types::{Id, TypeKind, Types};
use crate::event::Reason;

/// The file with the kernel's BTF.
pub const PATH: &str = "/sys/kernel/btf/vmlinux";

/// Why the BTF cannot be used.
#[derive(Debug, Error)]
pub enum BtfError {
    /// The file cannot be read.
    #[error("cannot read the kernel's BTF at {path} ({source}); the kernel needs CONFIG_DEBUG_INFO_BTF=y")]
    Read {
        /// Path of the file.
        path: String,
        /// The error of the read.
        source: std::io::Error,
    },
    /// The file is not BTF.
    #[error("{path} is not BTF: {message}")]
    Parse {
        /// Path of the file.
        path: String,
        /// The mistake in the bytes.
        message: &'static str,
    },
    /// A required field is missing.
    #[error("this kernel's struct {container} has no field {path}, which the observer needs")]
    Field {
        /// Name of the struct.
        container: &'static str,
        /// Member path: names joined by dots.
        path: &'static str,
    },
    /// A required struct is missing.
    #[error("this kernel has no struct {0}, which the observer needs")]
    Struct(&'static str),
}

/// Limit for following types into each other, because a broken file could contain circles.
const DEPTH: u32 = 32;

/// The types of the running kernel.
pub struct KernelBtf {
    types: Types,
}

impl KernelBtf {
    /// Reads and parses the file.
    ///
    /// # Errors
    /// The file cannot be read, or is not BTF.
    pub fn read(path: &Path) -> Result<Self, BtfError> {
        let shown = || path.display().to_string();
        let bytes = std::fs::read(path).map_err(|source| BtfError::Read { path: shown(), source })?;
        let types = Types::parse(bytes).map_err(|message| BtfError::Parse { path: shown(), message })?;
        Ok(Self { types })
    }

    /// Byte offset of a member. None if the struct or the member does not exist, or the member is a bit field.
    #[must_use]
    pub fn offset(&self, container: &str, path: &str) -> Option<u32> {
        let mut id = self.types.find(TypeKind::Struct, container)?;
        let mut bits: u32 = 0;
        for name in path.split('.') {
            let (at, inner) = self.member(id, name.as_bytes(), DEPTH)?;
            bits = bits.checked_add(at)?;
            id = inner;
        }
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    /// Size of a struct in bytes; None if it does not exist.
    #[must_use]
    pub fn size(&self, container: &str) -> Option<u32> {
        self.types.size(self.types.find(TypeKind::Struct, container)?)
    }

    /// Offset in bits and type of a member. Members of anonymous structs and unions count as members of the outer one.
    fn member(&self, id: Id, name: &[u8], depth: u32) -> Option<(u32, Id)> {
        let depth = depth.checked_sub(1)?;
        let id = self.unqualified(id)?;
        if !matches!(self.types.kind(id), Some(TypeKind::Struct | TypeKind::Union)) {
            return None;
        }
        self.types.members(id).find_map(|member| {
            if member.name == name {
                return (!member.is_bit_field).then_some((member.bits, member.id));
            }
            let (bits, id) = member.name.is_empty().then(|| self.member(member.id, name, depth))??;
            Some((member.bits.checked_add(bits)?, id))
        })
    }

    /// The type behind typedefs and qualifiers.
    fn unqualified(&self, mut id: Id) -> Option<Id> {
        use TypeKind::{Const, Restrict, TypeTag, Typedef, Volatile};
        for _ in 0..DEPTH {
            match self.types.kind(id) {
                Some(Typedef | Volatile | Const | Restrict | TypeTag) => id = self.types.inner(id)?,
                _ => return Some(id),
            }
        }
        None
    }

    /// The offset of each field in [`FIELDS`] ([`ABSENT`] for an optional one that is missing), and the size in bytes
    /// of each struct in [`SIZES`].
    ///
    /// # Errors
    /// A required field or a struct is missing.
    pub fn layout(&self) -> Result<Vec<(Setting, u32)>, BtfError> {
        let mut layout = Vec::new();
        for field in FIELDS {
            let offset = match self.offset(field.container, field.path) {
                Some(offset) => offset,
                None if field.required => {
                    return Err(BtfError::Field { container: field.container, path: field.path });
                }
                None => ABSENT,
            };
            layout.push((field.setting, offset));
        }
        for (setting, name) in SIZES {
            layout.push((setting, self.size(name).ok_or(BtfError::Struct(name))?));
        }
        Ok(layout)
    }

    /// BTF type id of a kernel function; None if it does not exist.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<u32> {
        self.types.find(TypeKind::Function, name)
    }

    /// BTF with these functions only, each under its own id. aya takes ids from BTF that it has parsed itself, and
    /// parsing all of the kernel's BTF would take longer than the rest of the start.
    #[must_use]
    pub fn functions_alone<'n>(&self, names: impl Iterator<Item = &'n str>) -> Vec<u8> {
        let mut found: Vec<_> = names.filter_map(|name| Some((self.function(name)?, name))).collect();
        found.sort_unstable();
        found.dedup();
        types::functions(&found)
    }

    /// Type ids of the structs in [`TYPES`]; None if one does not exist.
    #[must_use]
    pub fn type_ids(&self) -> Option<Vec<(Setting, u32)>> {
        let found =
            |(setting, name): &(Setting, &str)| Some((*setting, self.types.find(TypeKind::Struct, name)?));
        TYPES.iter().map(found).collect()
    }

    /// Names of an enum's values by number, without the common prefix. Empty if the enum does not exist.
    #[must_use]
    pub fn enum_names(&self, name: &str, prefix: &str) -> Vec<Option<Reason>> {
        let Some(id) = self.types.find(TypeKind::Enum, name) else { return Vec::new() };
        let mut names = Vec::new();
        for (name, number) in self.types.values(id) {
            // No kernel has a thousand reasons, but a broken file may claim so.
            let Some(number) = usize::try_from(number).ok().filter(|number| *number < 1024) else { continue };
            let Ok(name) = std::str::from_utf8(name) else { continue };
            if names.len() <= number {
                names.resize(number + 1, None);
            }
            names[number] = Some(name.strip_prefix(prefix).unwrap_or(name).into());
        }
        names
    }

    /// Whether the kernel has the tracepoint.
    #[must_use]
    pub fn has_tracepoint(&self, name: &str) -> bool {
        self.tracepoint_prototype(name).is_some()
    }

    /// Position of the first argument of type `enum <type_name>` among a tracepoint's own arguments.
    #[must_use]
    pub fn tracepoint_enum_arg(&self, tracepoint: &str, type_name: &str) -> Option<u32> {
        // The first parameter is the probe's `void *__data`.
        self.enum_position(self.tracepoint_prototype(tracepoint)?, 1, type_name)
    }

    /// Position of the first argument of type `enum <type_name>` among a function's arguments.
    #[must_use]
    pub fn function_enum_arg(&self, function: &str, type_name: &str) -> Option<u32> {
        self.enum_position(self.types.inner(self.function(function)?)?, 0, type_name)
    }

    fn enum_position(&self, prototype: Id, skipped: usize, type_name: &str) -> Option<u32> {
        if self.types.kind(prototype) != Some(TypeKind::Prototype) {
            return None;
        }
        let mut parameters = self.types.parameters(prototype).skip(skipped);
        let position = parameters.position(|parameter| {
            let is_enum = |id: &Id| {
                self.types.kind(*id) == Some(TypeKind::Enum)
                    && self.types.name(*id) == Some(type_name.as_bytes())
            };
            self.unqualified(parameter).is_some_and(|id| is_enum(&id))
        })?;
        u32::try_from(position).ok()
    }

    /// `typedef void (*btf_trace_<name>)(void *, ...)`.
    fn tracepoint_prototype(&self, name: &str) -> Option<Id> {
        let typedef = self.types.find(TypeKind::Typedef, &format!("btf_trace_{name}"))?;
        let pointer =
            self.types.inner(typedef).filter(|id| self.types.kind(*id) == Some(TypeKind::Pointer))?;
        self.types.inner(pointer).filter(|id| self.types.kind(*id) == Some(TypeKind::Prototype))
    }
}

#[cfg(test)]
mod tests;
