//! The running kernel's BTF: field offsets, argument positions, enum names. Nothing here is assumed by version.

use std::{collections::HashMap, path::Path};

use btfparse::{Offset, Readable, TypeInformation, TypeVariant};
use observer_ebpf::abi::offset::{ABSENT, FIELDS, TYPES};
use thiserror::Error;

use crate::event::Reason;

/// Where the kernel shows its BTF.
pub const PATH: &str = "/sys/kernel/btf/vmlinux";

/// Why the BTF is of no use.
#[derive(Debug, Error)]
pub enum BtfError {
    /// No file.
    #[error("this kernel shows no BTF at {path} ({source}); it needs CONFIG_DEBUG_INFO_BTF=y")]
    Read {
        /// Path tried.
        path: String,
        /// Error.
        source: std::io::Error,
    },
    /// Not BTF.
    #[error("{path} is not BTF: {message}")]
    Parse {
        /// Path read.
        path: String,
        /// The parser's message.
        message: String,
    },
    /// A field the observer cannot do without.
    #[error("this kernel's struct {container} has no field {path}, which the observer needs")]
    Field {
        /// Struct.
        container: &'static str,
        /// Member path.
        path: &'static str,
    },
}

/// The globals that describe struct layouts to the BPF side.
pub type Globals = Vec<(&'static str, u32)>;

/// Parsed BTF with its structs by name.
pub struct KernelBtf {
    types: TypeInformation,
    structs: HashMap<String, u32>,
}

struct Bytes(Vec<u8>);

impl Readable for Bytes {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> btfparse::Result<()> {
        let Self(bytes) = self;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = start.checked_add(buffer.len()).and_then(|end| bytes.get(start..end));
        let Some(found) = found else {
            return Err(btfparse::Error::new(btfparse::ErrorKind::IOError, "the file ends too soon"));
        };
        buffer.copy_from_slice(found);
        Ok(())
    }
}

impl KernelBtf {
    /// Reads and parses.
    pub fn read(path: &Path) -> Result<Self, BtfError> {
        let shown = || path.display().to_string();
        let bytes = std::fs::read(path).map_err(|source| BtfError::Read { path: shown(), source })?;
        let types = TypeInformation::new(&Bytes(bytes))
            .map_err(|error| BtfError::Parse { path: shown(), message: format!("{error:?}") })?;
        // A struct may share its name with a function, so the types' own index by name will not do.
        let structs = types.get().iter().filter_map(|(id, variant)| match variant {
            TypeVariant::Struct(found) => found.name().clone().map(|name| (name, *id)),
            _ => None,
        });
        let structs = structs.collect();
        Ok(Self { types, structs })
    }

    /// Byte offset of a member; None when the struct or the member is not there.
    #[must_use]
    pub fn offset(&self, container: &str, path: &str) -> Option<u32> {
        let id = *self.structs.get(container)?;
        match self.types.offset_of(id, path).ok()? {
            (_, Offset::ByteOffset(bytes)) => Some(bytes),
            (_, Offset::BitOffsetAndSize(..)) => None,
        }
    }

    /// Every field's offset, by its global.
    pub fn layout(&self) -> Result<Globals, BtfError> {
        let mut globals = Globals::new();
        for field in FIELDS {
            let offset = match self.offset(field.container, field.path) {
                Some(offset) => offset,
                None if field.required => {
                    return Err(BtfError::Field { container: field.container, path: field.path });
                }
                None => ABSENT,
            };
            globals.push((field.global, offset));
        }
        Ok(globals)
    }

    /// BTF type id of a kernel function.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<u32> {
        let id = self.types.id_of(name)?;
        matches!(self.types.from_id(id), Some(TypeVariant::Func(_))).then_some(id)
    }

    /// Type ids of the structs that are cast to, by their globals; None when one is not there.
    #[must_use]
    pub fn type_ids(&self) -> Option<Globals> {
        TYPES.iter().map(|(global, name)| Some((*global, *self.structs.get(*name)?))).collect()
    }

    /// Names of an enum's values by number, with the common prefix cut. Empty when there is no such enum.
    #[must_use]
    pub fn enum_names(&self, name: &str, prefix: &str) -> Vec<Option<Reason>> {
        let values = self.types.id_of(name).and_then(|id| self.types.from_id(id));
        let Some(TypeVariant::Enum(values)) = values else { return Vec::new() };
        let mut names = Vec::new();
        for value in values.named_value_list() {
            let number = match value.value {
                btfparse::Integer32Value::Unsigned(number) => usize::try_from(number).ok(),
                btfparse::Integer32Value::Signed(number) => usize::try_from(number).ok(),
            };
            // A kernel with a thousand reasons does not exist; a broken file may claim one.
            let Some(number) = number.filter(|number| *number < 1024) else { continue };
            if names.len() <= number {
                names.resize(number + 1, None);
            }
            names[number] = Some(value.name.strip_prefix(prefix).unwrap_or(&value.name).into());
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
        self.enum_position(&self.tracepoint_prototype(tracepoint)?, 1, type_name)
    }

    /// Position of the first argument of type `enum <type_name>` among a function's arguments.
    #[must_use]
    pub fn function_enum_arg(&self, function: &str, type_name: &str) -> Option<u32> {
        let TypeVariant::Func(function) = self.types.from_id(self.function(function)?)? else { return None };
        self.enum_position(&self.types.from_id(*function.prototype_tid())?, 0, type_name)
    }

    fn enum_position(&self, prototype: &TypeVariant, skipped: usize, type_name: &str) -> Option<u32> {
        let TypeVariant::FuncProto(prototype) = prototype else { return None };
        let mut parameters = prototype.parameter_list().iter().skip(skipped);
        let position = parameters.position(|parameter| self.is_enum(parameter.tid(), type_name))?;
        u32::try_from(position).ok()
    }

    /// `typedef void (*btf_trace_<name>)(void *, ...)`.
    fn tracepoint_prototype(&self, name: &str) -> Option<TypeVariant> {
        let id = self.types.id_of(&format!("btf_trace_{name}"))?;
        let TypeVariant::Typedef(typedef) = self.types.from_id(id)? else { return None };
        let TypeVariant::Ptr(pointer) = self.types.from_id(*typedef.tid())? else { return None };
        self.types.from_id(*pointer.tid())
    }

    fn is_enum(&self, id: u32, name: &str) -> bool {
        match self.types.from_id(id) {
            Some(TypeVariant::Const(inner)) => self.is_enum(*inner.tid(), name),
            Some(TypeVariant::Enum(found)) => found.name().as_deref() == Some(name),
            _ => false,
        }
    }
}
