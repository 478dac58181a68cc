//! The layers of the crate: a module uses only modules that `lib.rs` declares before it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, File, Item, UseTree};

/// The path of a module, without `crate`.
pub(crate) type ModulePath = Vec<String>;

/// The source of the library, and that of the command line.
fn source(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(of)
}

pub(crate) const LIBRARY: &str = "../src";
const COMMAND_LINE: &str = "src";

fn parse(path: &Path) -> File {
    syn::parse_file(&fs::read_to_string(path).unwrap()).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

/// Every file of a crate, with the module that it is.
pub(crate) fn modules(of: &str) -> BTreeMap<ModulePath, File> {
    let root = source(of);
    let mut folders = vec![root.clone()];
    let mut modules = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let within = path.strip_prefix(&root).unwrap().with_extension("");
            let mut module: ModulePath =
                within.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
            if module.last().is_some_and(|name| name == "mod") {
                module.pop();
            }
            let is_code = path.extension().is_some_and(|extension| extension == "rs")
                && !module.iter().any(|name| name == "tests" || name == "main");
            if is_code {
                modules.insert(if module == ["lib"] { Vec::new() } else { module }, parse(&path));
            }
        }
    }
    modules
}

/// The modules of the crate, in the order of their declarations.
fn declared(lib: &File) -> Vec<String> {
    let modules = lib.items.iter().filter_map(|item| match item {
        Item::Mod(module) => Some(module.ident.to_string()),
        _ => None,
    });
    modules.collect()
}

/// What a file of the crate names by a path of modules.
struct Uses<'m> {
    module: &'m ModulePath,
    found: Vec<ModulePath>,
}

impl Uses<'_> {
    fn add(&mut self, path: &[String]) {
        let mut module = self.module.clone();
        let rest = match path.first().map(String::as_str) {
            Some("crate") => {
                module.clear();
                &path[1..]
            }
            Some("super") => {
                let up = path.iter().take_while(|part| *part == "super").count();
                module.truncate(module.len() - up);
                &path[up..]
            }
            _ => return,
        };
        module.extend_from_slice(rest);
        self.found.push(module);
    }

    fn add_tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) => self.add(&with(&name.ident)),
            UseTree::Rename(rename) => self.add(&with(&rename.ident)),
            UseTree::Glob(_) => self.add(before),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_tree(before, tree)),
        }
    }

    /// Paths that begin with `crate` among the tokens of a macro.
    fn add_tokens(&mut self, tokens: proc_macro2::TokenStream) {
        let mut path: Vec<String> = Vec::new();
        for token in tokens {
            match token {
                proc_macro2::TokenTree::Ident(name) if !path.is_empty() || name == "crate" => {
                    path.push(name.to_string());
                }
                proc_macro2::TokenTree::Punct(punct) if punct.as_char() == ':' => {}
                other => {
                    self.add(&std::mem::take(&mut path));
                    if let proc_macro2::TokenTree::Group(group) = other {
                        self.add_tokens(group.stream());
                    }
                }
            }
        }
        self.add(&path);
    }
}

/// Whether an item is compiled for tests or documentation only.
pub(crate) fn is_not_built(attributes: &[Attribute]) -> bool {
    let is_one = |attribute: &Attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Ident>()
                .is_ok_and(|condition| condition == "test" || condition == "doc")
    };
    attributes.iter().any(is_one)
}

impl<'ast> Visit<'ast> for Uses<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => &[],
        };
        if !is_not_built(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(&names);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invoked: &'ast syn::Macro) {
        self.add_tokens(invoked.tokens.clone());
        visit::visit_macro(self, invoked);
    }

    // `pub(in crate::query)` uses nothing.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}
}

#[test]
fn a_module_uses_none_that_is_declared_after_it() {
    let modules = modules(LIBRARY);
    let order = declared(&modules[&Vec::new()]);
    let place = |name: &String| order.iter().position(|known| known == name);
    let mut wrong = Vec::new();
    let mut uses_of_all = 0;
    for (module, file) in &modules {
        let Some(own) = module.first() else { continue };
        let mut uses = Uses { module, found: Vec::new() };
        uses.visit_file(file);
        uses_of_all += uses.found.len();
        for used in &uses.found {
            let Some(first) = used.first().filter(|first| *first != own) else { continue };
            match place(first) {
                Some(at) if Some(at) < place(own) => {}
                Some(_) => wrong.push(format!("{} uses {}", module.join("/"), used.join("::"))),
                None => wrong.push(format!(
                    "{} uses {} by its public name; name the module that it is in",
                    module.join("/"),
                    used.join("::")
                )),
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(uses_of_all > 1000, "{uses_of_all}: the files are not read as they should be");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a file defines, without what it only uses.
fn defined(file: &File) -> Vec<String> {
    let names = file.items.iter().filter_map(|item| match item {
        Item::Const(item) => Some(item.ident.to_string()),
        Item::Enum(item) => Some(item.ident.to_string()),
        Item::Fn(item) => Some(item.sig.ident.to_string()),
        Item::Static(item) => Some(item.ident.to_string()),
        Item::Struct(item) => Some(item.ident.to_string()),
        Item::Trait(item) => Some(item.ident.to_string()),
        Item::Type(item) => Some(item.ident.to_string()),
        _ => None,
    });
    names.collect()
}

/// The dispatcher calls the commands, and one function calls the steps of a recovery. No command and no step uses its
/// caller.
#[test]
fn no_part_of_the_command_line_or_of_a_recovery_uses_what_stands_above_it() {
    let mut wrong = Vec::new();
    for (of, above) in [(COMMAND_LINE, vec![]), (LIBRARY, vec!["maintain".to_owned(), "recover".to_owned()])]
    {
        let modules = modules(of);
        let own = defined(&modules[&above]);
        for (module, file) in
            modules.iter().filter(|(module, _)| module.starts_with(&above) && **module != above)
        {
            let mut uses = Uses { module, found: Vec::new() };
            uses.visit_file(file);
            for used in uses.found {
                if let Some(name) = used.strip_prefix(above.as_slice()).and_then(<[String]>::first)
                    && own.contains(name)
                {
                    wrong.push(format!("{} uses {}", module.join("/"), used.join("::")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
