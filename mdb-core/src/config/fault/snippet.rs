//! The piece of source text that a fault shows.

use std::ops::Range;

use miette::{LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use super::Masked;

/// Longer lines are cut around the underlined text.
const WIDTH: usize = 240;
/// What is kept of a long line before the underlined text, and in all.
const BEFORE: usize = 60;
const KEPT: usize = 200;

/// A place in the text, both counted from 0; columns in characters.
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// The whole blanked text with an index of its lines.
pub(super) struct Text<'a> {
    name: &'a str,
    source: &'a str,
    starts: Vec<usize>,
}

impl<'a> Text<'a> {
    pub(super) fn new(name: &'a str, masked: &'a Masked) -> Self {
        let source = masked.as_str();
        let starts = std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1));
        Self {
            name,
            source,
            starts: starts.collect(),
        }
    }

    fn line_of(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start <= offset) - 1
    }

    fn line(&self, line: usize) -> Range<usize> {
        let start = self.starts[line];
        let end = self
            .starts
            .get(line + 1)
            .map_or(self.source.len(), |&next| next - 1);
        start..end
    }

    pub(super) fn position(&self, offset: usize) -> Position {
        let offset = self.source.floor_char_boundary(offset);
        let line = self.line_of(offset);
        Position {
            line,
            column: self.source[self.starts[line]..offset].chars().count(),
        }
    }

    /// The part of `range` that is in its first line.
    fn clamp(&self, range: &Range<usize>) -> (usize, Range<usize>) {
        let start = self.source.floor_char_boundary(range.start);
        let line = self.line_of(start);
        let end = self
            .source
            .floor_char_boundary(range.end.min(self.line(line).end));
        (line, start..end.max(start))
    }

    pub(super) fn first_line(&self, range: &Range<usize>) -> &'a str {
        let (_, range) = self.clamp(range);
        let text = &self.source[range];
        &text[..text.floor_char_boundary(KEPT)]
    }

    /// Cuts out the lines around each label; the first label is the primary one.
    pub(super) fn snippet(&self, labels: Vec<(Range<usize>, String)>) -> Snippet {
        let labels: Vec<_> = labels
            .into_iter()
            .map(|(range, label)| {
                let (line, range) = self.clamp(&range);
                (line, range, label)
            })
            .collect();
        let last = self.starts.len() - 1;
        let mut numbers: Vec<usize> = labels
            .iter()
            .flat_map(|(line, ..)| line.saturating_sub(1)..=(line + 1).min(last))
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut snippet = Snippet {
            name: self.name.to_owned(),
            text: String::new(),
            lines: Vec::with_capacity(numbers.len()),
            labels: Vec::with_capacity(labels.len()),
        };
        for number in numbers {
            let focus = labels
                .iter()
                .find(|(line, ..)| *line == number)
                .map(|(_, range, _)| range.start);
            let (kept, before) = self.kept(number, focus);
            let start = snippet.text.len();
            let column = self.source[self.starts[number]..kept.start].chars().count();
            snippet.lines.push(Line {
                number,
                start,
                column: column - before.chars().count().min(column),
            });
            snippet.text.push_str(before);
            let shift = snippet.text.len();
            snippet.text.push_str(&self.source[kept.clone()]);
            for (place, (line, range, label)) in labels.iter().enumerate() {
                if *line == number && range.start >= kept.start && range.start <= kept.end {
                    let from = shift + range.start - kept.start;
                    let to = shift + range.end.min(kept.end) - kept.start;
                    snippet.labels.push(Label {
                        primary: place == 0,
                        at: from..to,
                        text: label.clone(),
                    });
                }
            }
            if kept.end < self.line(number).end {
                snippet.text.push('…');
            }
            snippet.text.push('\n');
        }
        snippet
    }

    /// What is kept of a line, and what stands before it if it is cut there.
    fn kept(&self, number: usize, focus: Option<usize>) -> (Range<usize>, &'static str) {
        let line = self.line(number);
        if line.len() <= WIDTH {
            return (line, "");
        }
        let focus = focus
            .unwrap_or(line.start)
            .saturating_sub(BEFORE)
            .max(line.start);
        let start = self.source.floor_char_boundary(focus).max(line.start);
        let end = self
            .source
            .floor_char_boundary((start + KEPT).min(line.end));
        (start..end, if start > line.start { "…" } else { "" })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    /// From 0, in the file.
    number: usize,
    /// Offset in the snippet's text.
    start: usize,
    /// Characters cut off before it.
    column: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Label {
    primary: bool,
    at: Range<usize>,
    text: String,
}

/// A few lines of the file, not all of them neighbours, with labels on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snippet {
    name: String,
    text: String,
    lines: Vec<Line>,
    labels: Vec<Label>,
}

impl Snippet {
    pub(super) fn text(&self) -> &str {
        self.text.trim_end_matches('\n')
    }

    pub(super) fn labels(&self) -> impl Iterator<Item = LabeledSpan> {
        self.labels.iter().map(|label| {
            let span = SourceSpan::from(label.at.clone());
            let text = Some(label.text.clone());
            if label.primary {
                LabeledSpan::new_primary_with_span(text, span)
            } else {
                LabeledSpan::new_with_span(text, span)
            }
        })
    }

    fn index_of(&self, offset: usize) -> usize {
        self.lines
            .partition_point(|line| line.start <= offset)
            .saturating_sub(1)
    }

    /// Moves by one line, but never over a gap in the file.
    fn neighbour(&self, from: usize, to: usize) -> usize {
        match (self.lines.get(from), self.lines.get(to)) {
            (Some(here), Some(there)) if here.number.abs_diff(there.number) == 1 => to,
            _ => from,
        }
    }
}

impl SourceCode for Snippet {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let end = span.offset() + span.len();
        if self.lines.is_empty() || end > self.text.len() {
            return Err(MietteError::OutOfBounds);
        }
        let mut first = self.index_of(span.offset());
        let mut last = self.index_of(end.saturating_sub(1).max(span.offset()));
        if self.lines[last].number - self.lines[first].number != last - first {
            return Err(MietteError::OutOfBounds);
        }
        let (from, column) = if lines_before == 0 {
            let line = &self.lines[first];
            let before = self.text[line.start..span.offset()].chars().count();
            (span.offset(), line.column + before)
        } else {
            for _ in 0..lines_before {
                first = self.neighbour(first, first.saturating_sub(1));
            }
            (self.lines[first].start, 0)
        };
        for _ in 0..lines_after {
            last = self.neighbour(last, last + 1);
        }
        let to = self
            .lines
            .get(last + 1)
            .map_or(self.text.len(), |next| next.start);
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            &self.text.as_bytes()[from..to.max(from)],
            SourceSpan::from(from..to.max(from)),
            self.lines[first].number,
            column,
            last - first + 1,
        )))
    }
}
