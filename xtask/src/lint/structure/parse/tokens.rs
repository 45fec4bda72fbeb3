//! Paths and type names in tokens that have no syntax tree: arguments of macros and attributes.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};

/// What string literals are.
#[derive(Clone, Copy)]
pub(super) enum Literals {
    MayBePaths,
    AreText,
}

#[derive(Default)]
pub(super) struct Found {
    /// Paths that start with `crate`, `self` or `super`. Others cannot be told from text.
    pub(super) paths: Vec<(Vec<String>, Span)>,
    pub(super) types: Vec<Ident>,
}

pub(super) fn scan(stream: TokenStream, literals: Literals) -> Found {
    let mut found = Found::default();
    found.add(stream, literals);
    found
}

impl Found {
    fn add(&mut self, stream: TokenStream, literals: Literals) {
        let tokens: Vec<_> = stream.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Ident(word) if is_start(word) => {
                    at = self.path(&tokens, at, vec![word.to_string()], word.span());
                }
                TokenTree::Ident(word) if defines(word) => {
                    if let Some(TokenTree::Ident(name)) = tokens.get(at) {
                        self.types.push(name.clone());
                    }
                }
                TokenTree::Literal(literal) if matches!(literals, Literals::MayBePaths) => {
                    self.literal(literal);
                }
                TokenTree::Group(group) => self.add(group.stream(), literals),
                _ => {}
            }
        }
    }

    /// Reads on after the first word of a path. Gives the position of the next token.
    fn path(&mut self, tokens: &[TokenTree], mut at: usize, mut path: Vec<String>, span: Span) -> usize {
        loop {
            if !separator(tokens, at) {
                break;
            }
            match tokens.get(at + 2) {
                Some(TokenTree::Ident(word)) => {
                    path.push(word.to_string());
                    at += 3;
                }
                // A `use` in a macro's body.
                Some(TokenTree::Group(group)) => {
                    self.group(group.stream(), &path);
                    return at + 3;
                }
                _ => break,
            }
        }
        if path.len() > 1 {
            self.paths.push((path, span));
        }
        at
    }

    /// `{a, b::{c, d}}` after `prefix`.
    fn group(&mut self, stream: TokenStream, prefix: &[String]) {
        let tokens: Vec<_> = stream.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            if let TokenTree::Ident(word) = token {
                let path = [prefix, &[word.to_string()]].concat();
                at = self.path(&tokens, at, path, word.span());
            }
        }
    }

    fn literal(&mut self, literal: &proc_macro2::Literal) {
        let text = literal.to_string();
        if let Ok(path) = syn::parse_str::<syn::Path>(text.trim_matches('"'))
            && path.segments.len() > 1
            && is_start(&path.segments[0].ident)
        {
            let path = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.paths.push((path, literal.span()));
        }
    }
}

fn is_start(word: &Ident) -> bool {
    ["crate", "self", "super"].iter().any(|start| word == start)
}

fn defines(word: &Ident) -> bool {
    ["struct", "enum", "union", "trait"].iter().any(|keyword| word == keyword)
}

/// Whether `::` stands at this position.
fn separator(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |at| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    colon(at) && colon(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_in_a_macro_are_followed() {
        let stream = "use crate::{a::{B, C}, d};".parse().unwrap();
        let found = scan(stream, Literals::AreText);
        let paths: Vec<_> = found.paths.iter().map(|(path, _)| path.join("::")).collect();
        assert_eq!(paths, ["crate::a::B", "crate::a::C", "crate::d"]);
    }
}
