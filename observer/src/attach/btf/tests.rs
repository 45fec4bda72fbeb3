use super::*;

/// Builds small pieces of BTF in this machine's byte order.
#[derive(Default)]
struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
}

impl Builder {
    fn numbers(&mut self, numbers: &[u32]) {
        self.types.extend(numbers.iter().flat_map(|number| number.to_ne_bytes()));
    }

    fn string(&mut self, text: &str) -> u32 {
        if self.strings.is_empty() {
            self.strings.push(0);
        }
        let at = u32::try_from(self.strings.len()).unwrap();
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn bytes(self) -> Vec<u8> {
        let len = |part: &[u8]| u32::try_from(part.len()).unwrap();
        let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        for number in [24, 0, len(&self.types), len(&self.types), len(&self.strings)] {
            bytes.extend(number.to_ne_bytes());
        }
        [bytes, self.types, self.strings].concat()
    }
}

const STRUCT: u32 = 4 << 24;
const WITH_BIT_FIELDS: u32 = 1 << 31;

/// `struct outer { int a; union { int b; struct inner { …; int c; } d; }; int e : 3; }`
fn built() -> KernelBtf {
    let mut built = Builder::default();
    let mut name = |text| built.string(text);
    let (int, outer, inner) = (name("int"), name("outer"), name("inner"));
    let (first, second, third, fourth, fifth) = (name("a"), name("b"), name("c"), name("d"), name("e"));
    built.numbers(&[int, 1 << 24, 4, 32]);
    built.numbers(&[inner, STRUCT | 1, 8, third, 1, 32]);
    built.numbers(&[0, 5 << 24 | 2, 8, second, 1, 0, fourth, 2, 0]);
    let bit_field = 3 << 24 | 128;
    built.numbers(&[outer, STRUCT | WITH_BIT_FIELDS | 3, 16, first, 1, 0, 0, 3, 64, fifth, 1, bit_field]);
    KernelBtf { types: Types::parse(built.bytes()).unwrap() }
}

#[test]
fn members_are_found_through_names_and_through_anonymous_unions() {
    let btf = built();
    let found = ["a", "b", "d.c", "e", "c", "d.x"].map(|path| btf.offset("outer", path));
    // A bit field has no byte offset, and an inner member needs its path.
    assert_eq!(found, [Some(0), Some(8), Some(12), None, None, None]);
    assert_eq!(btf.offset("absent", "a"), None);
    assert_eq!([btf.size("outer"), btf.size("inner"), btf.size("absent")], [Some(16), Some(8), None]);
}

#[test]
fn functions_keep_their_ids_when_they_are_alone() {
    const FUNCTION: u32 = 12 << 24;
    let mut built = Builder::default();
    let (int, first, second) = (built.string("int"), built.string("first"), built.string("second"));
    built.numbers(&[int, 1 << 24, 4, 32]);
    built.numbers(&[0, 13 << 24, 1]);
    built.numbers(&[first, FUNCTION, 2]);
    built.numbers(&[0, STRUCT | 1, 4, int, 1, 0]);
    built.numbers(&[second, FUNCTION, 2]);
    let whole = KernelBtf { types: Types::parse(built.bytes()).unwrap() };
    let alone = whole.functions_alone(["second", "absent", "first"].into_iter());
    assert!(aya::Btf::parse(&alone, aya::Endianness::default()).is_ok());
    let alone = KernelBtf { types: Types::parse(alone).unwrap() };
    let ids = |btf: &KernelBtf| ["first", "second", "absent", "int"].map(|name| btf.function(name));
    assert_eq!(ids(&alone), [Some(3), Some(5), None, None]);
    assert_eq!(ids(&alone), ids(&whole));
    assert!(Types::parse(whole.functions_alone(std::iter::empty())).is_ok());
}

#[test]
fn bytes_that_are_no_btf_are_an_error() {
    let whole = {
        let mut built = Builder::default();
        let name = built.string("outer");
        built.numbers(&[name, STRUCT | 1, 16, name, 1, 0]);
        built.bytes()
    };
    assert!(Types::parse(whole.clone()).is_ok());
    for length in 0..whole.len() {
        assert!(Types::parse(whole[..length].to_vec()).is_err(), "{length} bytes");
    }
    for position in 0..whole.len() {
        let mut broken = whole.clone();
        broken[position] ^= 0xff;
        if let Ok(types) = Types::parse(broken) {
            let btf = KernelBtf { types };
            std::hint::black_box(btf.offset("outer", "outer.outer"));
        }
    }
}

#[test]
fn the_running_kernels_btf_is_read() {
    let path = Path::new(PATH);
    // The kernel of a build machine may have no BTF.
    if !path.exists() {
        return;
    }
    let btf = KernelBtf::read(path).unwrap();
    assert_eq!(btf.offset("sock", "__sk_common.skc_daddr"), Some(0));
    assert!(btf.offset("task_struct", "comm").is_some_and(|at| at > 0));
    assert!(btf.has_tracepoint("inet_sock_set_state"));
    assert!(!btf.has_tracepoint("no_such_tracepoint"));
    assert!(btf.function("tcp_close").is_some());
    assert!(btf.layout().is_ok());
}
