//! ELinks: ids as syllables that people can read out and type in.
//!
//! Each byte is one of 256 two-letter syllables. The bytes are, with `r` = seed & 15 and `x` = r · 17:
//!
//! 1. `r` in the upper, the authority in the lower four bits;
//! 2. the number of era bytes (0–4) in the upper, of id bytes (1–8) in the lower four bits, XOR `x`;
//! 3. the checksum XOR `x`, then a hyphen;
//! 4. the era, least significant byte first, without its leading zeros, each byte XOR `x`;
//! 5. the id likewise, at least one byte; its length goes by the counter alone, so only an eighth
//!    byte holds the authority again; a hyphen follows the fourth byte of more than five;
//! 6. if there is metadata: a hyphen, then its bytes, each XOR `x`.
//!
//! The checksum is ((era · `aa55aa55` mod 2³²) XOR id XOR (metadata length · `ee77`)) mod 251, where
//! the id includes the authority. It does not cover what the metadata says.

use crate::gdid::Gdid;

/// How many bytes of metadata a link can carry.
pub const MAX_METADATA_BYTES: usize = 512;

/// How many characters a link can have, hyphens and spaces included.
pub const MAX_LINK_CHARACTERS: usize = 1024;

/// The syllable of each byte, two letters each.
const SYLLABLES: &[u8; 512] = b"\
    ABACAUAKADASAMALAZAGANAFAPAQARAXAIAJATAWBABEBIBOBUBRCACBCDCECICH\
    COCUCRCKDADBDEDIDODUEBEDEFEGEJEKELEMENEPEQERESETEVEWEXEZFAFEFIFO\
    FUFTFZFLGAGEGIGLGMGNGOGPGRGUGVGWGXGZHAHEHIHMHNHOHPHTHUIBICIDIFIG\
    ITIKIJILIMINIPIRISIVIWIXIZJAJEJIJOJZJUJKJCJNKAKEKOKUKIKRKLKNKYLA\
    LELILMLNLOLRLSLTLULVLYLZMAMBMCMDMEMIMOMUMRMNMYMZNANENINMNONUNYNX\
    NZOBOCODOFOAOGOHOIOJOKOLOMOPOROSOTOVOWOXOYOZPAPEPIPOPSPUPYPZQUQA\
    RARERIRORURYSASESISOSUSYSHSMSNSBSDSTSVSQTATETITOTMTNTRTSTUTVTYTZ\
    UBUCUDUFUGUKULUMUNUPURUZVAVEVIVOVUZAZEZIZOZUWAWEWIWOWUWRYAYEYOXA";

/// A link, read: its id and metadata.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ELink {
    id: Gdid,
    metadata: Option<Vec<u8>>,
}

/// Why a text is no link, or why there can be none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ELinkError {
    /// There is nothing.
    #[error("a link is expected, but there is nothing")]
    Blank,
    /// More than 1,024 characters.
    #[error("a link has at most {MAX_LINK_CHARACTERS} characters, not {characters}")]
    TooLong {
        /// How many there are.
        characters: usize,
    },
    /// Two letters that are no syllable.
    #[error("{syllable:?} at character {position} is no syllable of a link")]
    Syllable {
        /// The two characters.
        syllable: String,
        /// The place of the first, from 1.
        position: usize,
    },
    /// An odd number of letters.
    #[error("the link has an odd number of letters: one is missing or too many")]
    OddLetters,
    /// Fewer than four syllables, or fewer than the second one announces.
    #[error("the link is too short: {expected} syllables are needed, {found} are there")]
    TooShort {
        /// How many are needed.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// An era of more than four bytes, or an id of none or more than eight.
    #[error(
        "the link announces an era of {era_bytes} and an id of {id_bytes} bytes; 0 to 4 and 1 to 8 are possible"
    )]
    Lengths {
        /// Bytes of the era.
        era_bytes: u8,
        /// Bytes of the id.
        id_bytes: u8,
    },
    /// The checksum is another one: a syllable is wrong.
    #[error("the link's checksum is wrong: a syllable is misspelt")]
    Checksum,
    /// Too much metadata.
    #[error(
        "{bytes} bytes of metadata don't fit a link: it carries at most {MAX_METADATA_BYTES}, and has at most {MAX_LINK_CHARACTERS} characters in all"
    )]
    Metadata {
        /// How many bytes there are.
        bytes: usize,
    },
}

impl ELink {
    /// A link without metadata.
    pub const fn new(id: Gdid) -> Self {
        Self { id, metadata: None }
    }

    /// A link with metadata, which may be empty: that is not the same as none where it is written,
    /// but reads back as none.
    ///
    /// # Errors
    ///
    /// [`ELinkError::Metadata`]: it does not fit.
    pub fn with_metadata(id: Gdid, metadata: Vec<u8>) -> Result<Self, ELinkError> {
        let link = Self {
            id,
            metadata: Some(metadata),
        };
        let bytes = link.metadata.as_ref().map_or(0, Vec::len);
        if bytes > MAX_METADATA_BYTES || link.encode(0).len() > MAX_LINK_CHARACTERS {
            return Err(ELinkError::Metadata { bytes });
        }
        Ok(link)
    }

    /// The id.
    pub const fn id(&self) -> Gdid {
        self.id
    }

    /// The metadata.
    pub fn metadata(&self) -> Option<&[u8]> {
        self.metadata.as_deref()
    }

    /// Writes the link.
    ///
    /// The lower four bits of `seed` choose one of 16 spellings, which all mean the same: a seed
    /// varies the look only, for when a spelling reads badly. Seed 0 is the one to print when no
    /// other is wanted.
    ///
    /// ```
    /// use mdb_gdid::{ELink, Gdid};
    ///
    /// let link = ELink::new(Gdid::new(0, 0, 123)?);
    /// assert_eq!(link.encode(1), "AIAIIW-IW");
    /// assert_eq!(ELink::decode("ai ai iw iw")?, link, "case, spaces and hyphens don't count");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encode(&self, seed: u8) -> String {
        let round = seed & 15;
        let mask = round * 17;
        let (era, id) = (self.id.era().to_le_bytes(), self.id.id().to_le_bytes());
        let era_bytes = significant(u64::from(self.id.era()));
        let id_bytes = significant(self.id.counter()).max(1);
        let lengths = u8::try_from((era_bytes << 4) | id_bytes).expect("at most 4 and 8");

        let mut link = String::new();
        push(&mut link, (round << 4) | self.id.authority().get());
        push(&mut link, lengths ^ mask);
        push(
            &mut link,
            checksum(self.id, self.metadata.as_ref().map_or(0, Vec::len)) ^ mask,
        );
        link.push('-');
        for byte in &era[..era_bytes] {
            push(&mut link, byte ^ mask);
        }
        for (place, byte) in (1..).zip(&id[..id_bytes]) {
            push(&mut link, byte ^ mask);
            if place == 4 && id_bytes > 5 {
                link.push('-');
            }
        }
        if let Some(metadata) = &self.metadata {
            link.push('-');
            for byte in metadata {
                push(&mut link, byte ^ mask);
            }
        }
        link
    }

    /// Reads a link; letter case, hyphens and spaces don't count.
    ///
    /// # Errors
    ///
    /// [`ELinkError`]: each way in which a text is no link has a variant of its own.
    pub fn decode(text: &str) -> Result<Self, ELinkError> {
        let bytes = syllables(text)?;
        let [head, lengths, check, rest @ ..] = bytes.as_slice() else {
            return Err(ELinkError::TooShort {
                expected: 4,
                found: bytes.len(),
            });
        };
        if rest.is_empty() {
            return Err(ELinkError::TooShort {
                expected: 4,
                found: bytes.len(),
            });
        }
        let (authority, mask) = (head & 15, (head >> 4) * 17);
        let (era_bytes, id_bytes) = ((lengths ^ mask) >> 4, (lengths ^ mask) & 15);
        if era_bytes > 4 || !(1..=8).contains(&id_bytes) {
            return Err(ELinkError::Lengths {
                era_bytes,
                id_bytes,
            });
        }
        let (era_length, id_length) = (usize::from(era_bytes), usize::from(id_bytes));
        let plain: Vec<u8> = rest.iter().map(|byte| byte ^ mask).collect();
        let Some((number, metadata)) = plain.split_at_checked(era_length + id_length) else {
            return Err(ELinkError::TooShort {
                expected: 3 + era_length + id_length,
                found: bytes.len(),
            });
        };
        let (mut era, mut counter) = ([0; 4], [0; 8]);
        era[..era_length].copy_from_slice(&number[..era_length]);
        counter[..id_length].copy_from_slice(&number[era_length..]);
        // The eighth byte repeats the authority; without it, its place is empty.
        let repeated = if id_length == 8 { authority } else { 0 };
        let low = u64::from_le_bytes(counter);
        let id = Gdid::from_era_and_id(
            u32::from_le_bytes(era),
            (u64::from(authority) << 60) | (low & Gdid::MAX_COUNTER),
        );
        if low >> 60 != u64::from(repeated) || checksum(id, metadata.len()) != check ^ mask {
            return Err(ELinkError::Checksum);
        }
        if metadata.is_empty() {
            return Ok(Self::new(id));
        }
        // Without its hyphens a link can be read that would be too long to write.
        Self::with_metadata(id, metadata.to_vec())
    }
}

fn push(link: &mut String, byte: u8) {
    let place = usize::from(byte) * 2;
    link.extend(
        SYLLABLES[place..place + 2]
            .iter()
            .map(|letter| char::from(*letter)),
    );
}

/// How many bytes a number needs without its leading zero bytes.
fn significant(number: u64) -> usize {
    number
        .to_le_bytes()
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1)
}

fn checksum(id: Gdid, metadata_bytes: usize) -> u8 {
    let era = u64::from(id.era().wrapping_mul(0xaa55_aa55));
    let sum = (era ^ id.id() ^ (metadata_bytes as u64 * 0xee77)) % 251;
    u8::try_from(sum).expect("a remainder of 251 fits a byte")
}

/// The bytes of a text's syllables.
fn syllables(text: &str) -> Result<Vec<u8>, ELinkError> {
    // Counted only as far as it matters: the text can be of any length.
    if text.len() > MAX_LINK_CHARACTERS {
        let characters = text.chars().count();
        if characters > MAX_LINK_CHARACTERS {
            return Err(ELinkError::TooLong { characters });
        }
    }
    let mut letters = text
        .chars()
        .zip(1..)
        .filter(|(letter, _)| !matches!(letter, '-' | ' '));
    let mut bytes = Vec::with_capacity(text.len() / 2);
    while let Some((first, position)) = letters.next() {
        let Some((second, _)) = letters.next() else {
            return Err(ELinkError::OddLetters);
        };
        match byte_of(first, second) {
            Some(byte) => bytes.push(byte),
            None => {
                return Err(ELinkError::Syllable {
                    syllable: [first, second].iter().collect(),
                    position,
                });
            }
        }
    }
    if bytes.is_empty() {
        Err(ELinkError::Blank)
    } else {
        Ok(bytes)
    }
}

fn byte_of(first: char, second: char) -> Option<u8> {
    let wanted =
        [first, second].map(|letter| u8::try_from(letter.to_ascii_uppercase()).unwrap_or(0));
    let place = SYLLABLES
        .chunks_exact(2)
        .position(|syllable| syllable == wanted)?;
    u8::try_from(place).ok()
}

#[cfg(test)]
mod tests;
