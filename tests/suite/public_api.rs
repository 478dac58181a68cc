//! The library's public interface, as `public-api.txt` lists it: a change of it is seen.
//!
//! `UPDATE_PUBLIC_API=1 cargo test --test suite public_api` writes the list anew; the change of the file then says
//! what has changed for programs that use the library.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use quote::ToTokens;
use syn::{Attribute, Fields, ImplItem, Item, TraitItem, Type, UseTree, Visibility};

use super::layers::{LIBRARY, ModulePath, is_not_built, modules};

/// The names that a module makes public, each with the conditions under which it is there.
fn exported(items: &[Item], names: &mut BTreeMap<String, String>) {
    fn add(tree: &UseTree, conditions: &str, names: &mut BTreeMap<String, String>) {
        match tree {
            UseTree::Path(path) => add(&path.tree, conditions, names),
            UseTree::Name(name) => drop(names.insert(name.ident.to_string(), conditions.to_owned())),
            UseTree::Rename(rename) => drop(names.insert(rename.rename.to_string(), conditions.to_owned())),
            UseTree::Glob(_) => panic!("a public `use … ::*` hides what is public"),
            UseTree::Group(group) => group.items.iter().for_each(|tree| add(tree, conditions, names)),
        }
    }
    for item in items {
        match item {
            Item::Use(item) if is_public(&item.vis) => add(&item.tree, &conditions(&item.attrs), names),
            Item::Mod(item) if is_public(&item.vis) => {
                if let Some((_, items)) = &item.content {
                    exported(items, names);
                }
            }
            _ => {}
        }
    }
}

const fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// `cfg`, `derive` and the like, which a program depends on.
fn conditions(attributes: &[Attribute]) -> String {
    let said = attributes.iter().filter(|attribute| {
        ["cfg", "derive", "non_exhaustive", "must_use", "deprecated"]
            .iter()
            .any(|name| attribute.path().is_ident(name))
            || is_hidden(attribute)
    });
    said.map(|attribute| text(attribute) + " ").collect()
}

fn is_hidden(attribute: &Attribute) -> bool {
    attribute.path().is_ident("doc") && text(attribute).contains("(hidden)")
}

/// Tokens as people write them.
fn text(tokens: &impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    while let Some(begin) = text.find("# [doc =").filter(|begin| text[*begin..].contains("\"]")) {
        let end = text[begin..].find("\"]").map_or(text.len(), |end| begin + end + 2);
        text.replace_range(begin..end, "");
    }
    for (spaced, close) in [
        (" :: ", "::"),
        (":: ", "::"),
        (" < ", "<"),
        ("< ", "<"),
        (" >", ">"),
        ("& ", "&"),
        ("( ", "("),
        (" (", "("),
        (" )", ")"),
        (" ,", ","),
        (" ;", ";"),
        (" :", ":"),
        ("# [", "#["),
        ("[ ", "["),
        (" ]", "]"),
        ("' ", "'"),
        ("->(", "-> ("),
    ] {
        text = text.replace(spaced, close);
    }
    text
}

fn fields(fields: &Fields) -> String {
    let shown = fields.iter().filter(|field| is_public(&field.vis)).map(|field| {
        let name = field.ident.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        format!("{}{name}{}", conditions(&field.attrs), text(&field.ty))
    });
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() { String::new() } else { format!(" {{ {} }}", shown.join(", ")) }
}

/// The name of the type that an implementation is of.
fn name_of(of: &Type) -> Option<String> {
    match of {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        Type::Reference(reference) => name_of(&reference.elem),
        _ => None,
    }
}

/// What one item adds to the list.
fn describe(item: &Item, names: &BTreeMap<String, String>, lines: &mut BTreeSet<String>) {
    let mut add = |name: &syn::Ident, vis: &Visibility, attributes: &[Attribute], rest: String| {
        if let Some(when) = names.get(&name.to_string()).filter(|_| is_public(vis)) {
            lines.insert(format!("{name}: {when}{}{rest}", conditions(attributes)));
        }
    };
    match item {
        Item::Struct(item) => {
            let rest = format!("struct {}{}{}", item.ident, text(&item.generics), fields(&item.fields));
            add(&item.ident, &item.vis, &item.attrs, rest);
        }
        Item::Enum(item) => {
            let variants = item.variants.iter().map(|variant| {
                let fields = if variant.fields.is_empty() { String::new() } else { text(&variant.fields) };
                format!("{}{}{fields}", conditions(&variant.attrs), variant.ident)
            });
            let variants: Vec<String> = variants.collect();
            let rest = format!("enum {}{} {{ {} }}", item.ident, text(&item.generics), variants.join(", "));
            add(&item.ident, &item.vis, &item.attrs, rest);
        }
        Item::Trait(item) => {
            let mut rest = format!("trait {}", item.ident);
            for part in &item.items {
                if let TraitItem::Fn(function) = part {
                    write!(rest, " {{ {} }}", text(&function.sig)).unwrap();
                }
            }
            add(&item.ident, &item.vis, &item.attrs, rest);
        }
        Item::Fn(item) => add(&item.sig.ident, &item.vis, &item.attrs, text(&item.sig)),
        Item::Const(item) => add(&item.ident, &item.vis, &item.attrs, format!("const {}", text(&item.ty))),
        Item::Type(item) => add(&item.ident, &item.vis, &item.attrs, format!("type {}", text(&item.ty))),
        Item::Impl(item) => {
            let Some(name) = name_of(&item.self_ty).filter(|name| names.contains_key(name)) else { return };
            let when = conditions(&item.attrs);
            if let Some((_, of, _)) = &item.trait_ {
                lines.insert(format!("{name}: {when}impl {} for {}", text(of), text(&item.self_ty)));
                return;
            }
            for part in &item.items {
                match part {
                    ImplItem::Fn(function) if is_public(&function.vis) => {
                        lines.insert(format!(
                            "{name}: {when}{}{}",
                            conditions(&function.attrs),
                            text(&function.sig)
                        ));
                    }
                    ImplItem::Const(constant) if is_public(&constant.vis) => {
                        lines.insert(format!(
                            "{name}: {when}const {}: {}",
                            constant.ident,
                            text(&constant.ty)
                        ));
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

#[test]
fn it_is_what_the_list_says() {
    let modules = modules(LIBRARY);
    let mut names = BTreeMap::new();
    exported(&modules[&ModulePath::new()].items, &mut names);
    exported(&modules[&vec!["disk".to_owned()]].items, &mut names);
    let mut lines = BTreeSet::new();
    for file in modules.values() {
        for item in &file.items {
            let attributes = match item {
                Item::Impl(item) => item.attrs.as_slice(),
                Item::Mod(item) => item.attrs.as_slice(),
                _ => &[],
            };
            if !is_not_built(attributes) {
                describe(item, &names, &mut lines);
            }
        }
    }
    assert!(lines.len() > 300, "{}: the files are not read as they should be", lines.len());
    let found: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../public-api.txt");
    if std::env::var_os("UPDATE_PUBLIC_API").is_some() {
        fs::write(&path, &found).unwrap();
    }
    let listed = fs::read_to_string(&path).unwrap();
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) = (listed.lines().collect(), found.lines().collect());
    let gone: Vec<_> = old.difference(&new).map(|line| format!("- {line}")).collect();
    let come: Vec<_> = new.difference(&old).map(|line| format!("+ {line}")).collect();
    assert!(
        gone.is_empty() && come.is_empty(),
        "the public interface has changed; if that is intended, write the list anew with UPDATE_PUBLIC_API=1 and say \
         so in CHANGELOG.md:\n{}\n{}",
        gone.join("\n"),
        come.join("\n")
    );
}
