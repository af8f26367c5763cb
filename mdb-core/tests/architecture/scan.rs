//! Reads Rust text far enough to tell which modules a file names.
//!
//! Comments and literals are blanked out, the rest is cut into words and marks. Paths are followed
//! where they begin with `crate`, `super` or `std`; `{…}` groups are opened.

/// A name that a file uses, and the line it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) name: String,
    pub(crate) line: usize,
}

/// One file of a crate.
pub(crate) struct Source {
    file: String,
    words: Vec<Use>,
    /// Where the file's own tests begin, as a place in `words`.
    tests: usize,
}

impl Source {
    /// `file` is the path from the crate's source directory.
    pub(crate) fn new(file: &str, text: &str) -> Self {
        let words = words(&blank(text));
        let marker = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
        let tests = words
            .windows(marker.len())
            .position(|window| window.iter().map(|word| word.name.as_str()).eq(marker))
            .unwrap_or(words.len());
        Self {
            file: file.to_owned(),
            words,
            tests,
        }
    }

    /// The crate's module that the file belongs to.
    pub(crate) fn module(&self) -> &str {
        let first = self.file.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Whether the whole file is tests.
    pub(crate) fn is_test_file(&self) -> bool {
        self.file
            .split('/')
            .any(|part| part == "tests" || part == "tests.rs")
    }

    /// How many modules the file lies below the crate's root.
    fn depth(&self) -> usize {
        self.file.split('/').count()
    }

    fn word(&self, place: usize) -> &str {
        self.words.get(place).map_or("", |word| &word.name)
    }

    /// Modules that the file declares.
    pub(crate) fn declared_modules(&self) -> Vec<Use> {
        (0..self.words.len())
            .filter(|&place| self.word(place) == "mod" && self.word(place + 2) == ";")
            .map(|place| self.words[place + 1].clone())
            .collect()
    }

    /// What the file takes from the crate's root, tests included.
    pub(crate) fn uses_of_crate(&self) -> Vec<Use> {
        let mut found = Vec::new();
        // How deep in inline modules each place lies: each takes one `super` to get out of.
        let (mut braces, mut inline) = (0_usize, Vec::new());
        let mut place = 0;
        while place < self.words.len() {
            match self.word(place) {
                "{" => {
                    braces += 1;
                    if place >= 2 && self.word(place - 2) == "mod" {
                        inline.push(braces);
                    }
                }
                "}" => {
                    if inline.last() == Some(&braces) {
                        inline.pop();
                    }
                    braces = braces.saturating_sub(1);
                }
                "crate" if self.word(place + 1) == "::" => found.extend(self.heads(place + 2)),
                "super" => {
                    let mut steps = 1;
                    while self.word(place + 1) == "::" && self.word(place + 2) == "super" {
                        steps += 1;
                        place += 2;
                    }
                    if steps == self.depth() + inline.len() && self.word(place + 1) == "::" {
                        found.extend(self.heads(place + 2));
                    }
                }
                _ => {}
            }
            place += 1;
        }
        found
    }

    /// The modules of `std` that the file uses, tests left out.
    pub(crate) fn uses_of_std(&self) -> Vec<Use> {
        (0..self.tests)
            .filter(|&place| self.word(place) == "std" && self.word(place + 1) == "::")
            .flat_map(|place| self.heads(place + 2))
            .collect()
    }

    /// All words outside tests.
    pub(crate) fn names(&self) -> Vec<Use> {
        let is_name = |word: &&Use| {
            word.name
                .starts_with(|c: char| c.is_alphabetic() || c == '_')
        };
        self.words[..self.tests]
            .iter()
            .filter(is_name)
            .cloned()
            .collect()
    }

    /// The first names of the path, or of each path of the group, that begins at `place`.
    fn heads(&self, place: usize) -> Vec<Use> {
        if self.word(place) != "{" {
            return self.words.get(place).cloned().into_iter().collect();
        }
        let (mut depth, mut heads) = (1, Vec::new());
        let mut at_head = true;
        for word in &self.words[place + 1..] {
            match word.name.as_str() {
                "{" => depth += 1,
                "}" if depth == 1 => break,
                "}" => depth -= 1,
                "," if depth == 1 => at_head = true,
                _ if at_head => {
                    heads.push(word.clone());
                    at_head = false;
                }
                _ => {}
            }
        }
        heads
    }
}

/// The text with comments and literals replaced by spaces, line for line.
fn blank(text: &str) -> String {
    let text: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let end = literal_or_comment(&text, at);
        if end == at {
            code.push(text[at]);
            at += 1;
        } else {
            code.extend(
                text[at..end]
                    .iter()
                    .map(|&c| if c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        }
    }
    code
}

/// Where the literal or comment that begins at `at` ends; `at` itself if none begins there.
fn literal_or_comment(text: &[char], at: usize) -> usize {
    let get = |place: usize| text.get(place).copied().unwrap_or('\n');
    let until = |from: usize, found: &dyn Fn(usize) -> bool| {
        (from..text.len())
            .find(|&place| found(place))
            .unwrap_or(text.len())
    };
    let in_word = at > 0 && (text[at - 1].is_alphanumeric() || text[at - 1] == '_');
    match (get(at), get(at + 1)) {
        ('/', '/') => until(at, &|place| text[place] == '\n'),
        ('/', '*') => {
            let (mut depth, mut place) = (1, at + 2);
            while depth > 0 && place < text.len() {
                match (get(place), get(place + 1)) {
                    ('*', '/') => (depth, place) = (depth - 1, place + 2),
                    ('/', '*') => (depth, place) = (depth + 1, place + 2),
                    _ => place += 1,
                }
            }
            place.min(text.len())
        }
        ('r', '"' | '#') if !in_word || (text[at - 1] == 'b' && at > 0) => {
            let open = until(at + 1, &|place| text[place] != '#');
            if get(open) != '"' {
                return at;
            }
            let hashes = open - at - 1;
            let closes = |place: usize| {
                text[place] == '"' && (1..=hashes).all(|further| get(place + further) == '#')
            };
            (until(open + 1, &closes) + 1 + hashes).min(text.len())
        }
        ('"', _) => {
            let mut place = at + 1;
            while place < text.len() && text[place] != '"' {
                place += if text[place] == '\\' { 2 } else { 1 };
            }
            (place + 1).min(text.len())
        }
        ('\'', '\\') => until(at + 3, &|place| text[place] == '\'') + 1,
        ('\'', _) if get(at + 2) == '\'' => at + 3,
        _ => at,
    }
}

/// Cuts code into words, `::` and single marks.
fn words(code: &str) -> Vec<Use> {
    let mut words: Vec<Use> = Vec::new();
    for (line, text) in (1..).zip(code.lines()) {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let end = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            words.push(Use {
                name: rest[..end].to_owned(),
                line,
            });
            rest = rest[end..].trim_start();
        }
    }
    words
}
