//! The Merkle tree over the log (RFC 9162 §2.1) with SHA-256: roots, and proofs that a record is in it or that one tree
//! grew out of another.
//!
//! Pure. The published crate for this keeps every leaf in memory; here a proof is first a list of ranges of records, so
//! that a log of any length is read once, in pages. A test compares all of it with a naive tree.

use std::ops::Range;

use aws_lc_rs::digest::{Context, SHA256};

use crate::ids::Digest;

/// What stands before a record, so that no record can be taken for a node (§2.1.1).
const LEAF: u8 = 0;
/// What stands before the two halves of a node.
const NODE: u8 = 1;

/// The leaf of a record: SHA-256 of a zero byte and its canonical JSON.
pub fn leaf(record: &[u8]) -> Digest {
    hashed(&[&[LEAF], record])
}

fn node(left: &Digest, right: &Digest) -> Digest {
    hashed(&[&[NODE], left.as_bytes(), right.as_bytes()])
}

fn hashed(parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    Digest::from(out)
}

/// A tree that grows at its right: the roots of its complete subtrees, the largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Digest>,
}

impl Frontier {
    /// The tree of this many leaves with these peaks; none if it has another number of peaks.
    pub fn from_parts(size: u64, peaks: Vec<Digest>) -> Option<Self> {
        let fits = usize::try_from(size.count_ones()).is_ok_and(|count| count == peaks.len());
        fits.then_some(Self { size, peaks })
    }

    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of its complete subtrees, the largest first.
    pub fn peaks(&self) -> &[Digest] {
        &self.peaks
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Digest) {
        let mut hash = leaf;
        // Each complete subtree of the size of what was just made joins it: as many as the number ends with ones.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node(&left, &hash);
            }
        }
        self.peaks.push(hash);
        self.size = self.size.saturating_add(1);
    }

    /// The root of all leaves; of none, the digest of nothing.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        let last = peaks.next().copied().unwrap_or_else(|| Digest::of(b""));
        peaks.fold(last, |right, left| node(left, &right))
    }
}

/// The ranges of leaves whose roots prove that leaf `index` is in the tree of `size` (§2.1.3.1). None where it is not.
pub fn inclusion(index: u64, size: u64) -> Option<Vec<Range<u64>>> {
    if index >= size {
        return None;
    }
    let (mut low, mut high) = (0, size);
    let mut ranges = Vec::new();
    while high - low > 1 {
        let middle = low + half(high - low);
        if index < middle {
            ranges.push(middle..high);
            high = middle;
        } else {
            ranges.push(low..middle);
            low = middle;
        }
    }
    ranges.reverse();
    Some(ranges)
}

/// The ranges of leaves whose roots prove that the tree of `to` leaves begins with that of `from` (§2.1.4.1). None where
/// there is nothing to prove.
pub fn consistency(from: u64, to: u64) -> Option<Vec<Range<u64>>> {
    if from == 0 || from > to {
        return None;
    }
    let (mut low, mut high) = (0, to);
    let mut ranges = Vec::new();
    // As long as only left halves were taken, what is left is the whole of the older tree, whose root is known.
    let mut is_whole = true;
    while from != high {
        let middle = low + half(high - low);
        if from <= middle {
            ranges.push(middle..high);
            high = middle;
        } else {
            ranges.push(low..middle);
            low = middle;
            is_whole = false;
        }
    }
    if !is_whole {
        ranges.push(low..high);
    }
    ranges.reverse();
    Some(ranges)
}

/// The largest power of two below `count`, which is at least 2.
fn half(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// Whether these roots prove that `leaf` is number `index` of the tree with this root (§2.1.3.2).
pub fn is_included(index: u64, size: u64, leaf: Digest, proof: &[Digest], root: Digest) -> bool {
    let Some(mut last) = size.checked_sub(1).filter(|last| index <= *last) else {
        return false;
    };
    let (mut at, mut hash) = (index, leaf);
    for other in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node(other, &hash);
            up_from_the_edge(&mut at, &mut last);
        } else {
            hash = node(&hash, other);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == root
}

/// Whether these roots prove that the tree of `to` leaves begins with that of `from` (§2.1.4.2).
pub fn is_consistent(from: u64, to: u64, first: Digest, second: Digest, proof: &[Digest]) -> bool {
    if from == 0 || from > to {
        return false;
    }
    if from == to {
        return proof.is_empty() && first == second;
    }
    let mut path = proof.iter();
    let begin = match from.is_power_of_two() {
        true => first,
        false => match path.next() {
            Some(hash) => *hash,
            None => return false,
        },
    };
    let (mut at, mut last) = (from - 1, to - 1);
    let ones = at.trailing_ones();
    at >>= ones;
    last >>= ones;
    let (mut old, mut new) = (begin, begin);
    for other in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old = node(other, &old);
            new = node(other, &new);
            up_from_the_edge(&mut at, &mut last);
        } else {
            new = node(&new, other);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old == first && new == second
}

/// At the right edge levels without a sibling are passed over.
fn up_from_the_edge(at: &mut u64, last: &mut u64) {
    while *at & 1 == 0 && *at != 0 {
        *at >>= 1;
        *last >>= 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// §2.1.1, word by word.
    fn naive(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => Digest::of(b""),
            [one] => *one,
            more => {
                let mut middle = 1;
                while middle * 2 < more.len() {
                    middle *= 2;
                }
                node(&naive(&more[..middle]), &naive(&more[middle..]))
            }
        }
    }

    fn leaves(count: usize) -> Vec<Digest> {
        (0..count).map(|at| leaf(&at.to_be_bytes())).collect()
    }

    fn root(leaves: &[Digest]) -> Digest {
        let mut tree = Frontier::default();
        for leaf in leaves {
            tree.push(*leaf);
        }
        assert_eq!(
            Frontier::from_parts(tree.size(), tree.peaks().to_vec()),
            Some(tree.clone())
        );
        tree.root()
    }

    fn hashes(ranges: &[Range<u64>], leaves: &[Digest]) -> Vec<Digest> {
        let of = |range: &Range<u64>| naive(&leaves[range.start as usize..range.end as usize]);
        ranges.iter().map(of).collect()
    }

    #[test]
    fn roots_are_those_of_the_vectors_that_are_known() {
        // The vectors that implementations of RFC 6962 share.
        let inputs: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let leaves: Vec<_> = inputs.iter().map(|input| leaf(input)).collect();
        for (count, expected) in [
            (
                0,
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            (
                1,
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            ),
            (
                2,
                "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            ),
            (
                3,
                "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            ),
            (
                8,
                "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
            ),
        ] {
            assert_eq!(root(&leaves[..count]).to_string(), expected, "{count}");
        }
    }

    #[test]
    fn every_proof_of_small_trees_holds_and_for_nothing_else() {
        let leaves = leaves(34);
        for size in 1..=leaves.len() {
            let whole = naive(&leaves[..size]);
            assert_eq!(root(&leaves[..size]), whole);
            for index in 0..size {
                let ranges = inclusion(index as u64, size as u64).unwrap();
                let proof = hashes(&ranges, &leaves);
                let holds = |index: usize, leaf| {
                    is_included(index as u64, size as u64, leaf, &proof, whole)
                };
                assert!(holds(index, leaves[index]), "{index} of {size}");
                for other in (0..size).filter(|other| *other != index) {
                    assert!(!holds(other, leaves[index]), "{index} as {other} of {size}");
                    assert!(
                        !holds(index, leaves[other]),
                        "{other} for {index} of {size}"
                    );
                }
            }
            for from in 1..=size {
                let ranges = consistency(from as u64, size as u64).unwrap();
                let proof = hashes(&ranges, &leaves);
                let old = naive(&leaves[..from]);
                let holds = |old, new| is_consistent(from as u64, size as u64, old, new, &proof);
                assert!(holds(old, whole), "{from} in {size}");
                assert!(!holds(leaf(b"other"), whole), "{from} in {size}");
                assert!(!holds(old, leaf(b"other")), "{from} in {size}");
            }
        }
        assert_eq!(inclusion(3, 3), None);
        assert_eq!(consistency(0, 3), None);
        assert_eq!(consistency(4, 3), None);
    }

    proptest! {
        #[test]
        fn what_is_changed_in_a_proof_makes_it_none(
            size in 2_usize..600, index in any::<prop::sample::Index>(), bit in any::<prop::sample::Index>()
        ) {
            let leaves = leaves(size);
            let (whole, index) = (root(&leaves), index.index(size));
            prop_assert_eq!(whole, naive(&leaves));
            let size = size as u64;
            let good = hashes(&inclusion(index as u64, size).unwrap(), &leaves);
            prop_assert!(is_included(index as u64, size, leaves[index], &good, whole));
            let changed = |proof: &[Digest]| {
                let mut proof = proof.to_vec();
                let at = bit.index(proof.len() * 256);
                let mut bytes = *proof[at / 256].as_bytes();
                bytes[at % 256 / 8] ^= 1 << (at % 8);
                proof[at / 256] = Digest::from(bytes);
                proof
            };
            prop_assert!(!is_included(index as u64, size, leaves[index], &changed(&good), whole));
            prop_assert!(!is_included(index as u64, size, leaves[index], &good[1..], whole));
            let longer: Vec<_> = good.iter().copied().chain([whole]).collect();
            prop_assert!(!is_included(index as u64, size, leaves[index], &longer, whole));
            let from = index as u64 + 1;
            let old = naive(&leaves[..=index]);
            let good = hashes(&consistency(from, size).unwrap(), &leaves);
            prop_assert!(is_consistent(from, size, old, whole, &good));
            if !good.is_empty() {
                prop_assert!(!is_consistent(from, size, old, whole, &changed(&good)));
                prop_assert!(!is_consistent(from, size, old, whole, &good[1..]));
            }
        }
    }
}
