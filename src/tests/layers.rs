//! The modules depend on each other in one direction only.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{UseTree, visit::Visit};

/// Every module with the modules that it may use, from the bottom to the top: each may use modules above its line only.
/// `crates/` needs no lines: cargo keeps those packages from using the portal.
const LAYERS: &str = "
error:
wire: error
elements:
server::output:
server::node:
server::clock:
server::config:
server::telemetry: server::config
server::connections: server::telemetry
server::auth: error server::telemetry
server::database: error server::clock server::telemetry
server::lifecycle:
server::store: error server::clock server::auth server::database
server::buffers: server::database server::store
server::rate_counts: server::config server::store
server::realtime: server::clock server::telemetry server::database server::lifecycle server::store
server::state: server::clock server::config server::telemetry server::auth server::database
    server::lifecycle server::buffers server::rate_counts server::realtime
server::services: error server::clock server::config server::telemetry server::auth server::database
    server::store server::rate_counts server::state
server::health: server::clock server::telemetry server::database server::lifecycle server::store
    server::state server::services
server::http: error wire server::clock server::config server::telemetry server::auth server::database
    server::store server::buffers server::state server::services
server::admin: error wire elements server::store server::services server::health
server_fns: error wire server::auth server::store server::state server::services server::http server::admin
ui: error wire elements server_fns
app: ui
server::api: error server::telemetry server::auth server::store server::realtime server::state
    server::services server::http
server::shell: server::http app
server::router: server::state server::health server::http server::admin app server::api server::shell
server::jobs: server::clock server::config server::telemetry server::database server::lifecycle
    server::store server::buffers server::state server::services server::health
server::serve: server::output server::node server::config server::telemetry server::connections server::auth
    server::database server::lifecycle server::buffers server::rate_counts server::realtime server::state
    server::services server::router server::jobs
server::command_line: server::output server::config server::telemetry server::auth server::database
    server::services server::health server::serve
";

/// Returns each module of `LAYERS` with the modules that it may use.
fn layers() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut layers: Vec<(&str, Vec<&str>)> = Vec::new();
    for word in LAYERS.split_whitespace() {
        match (word.strip_suffix(':'), layers.last_mut()) {
            (Some(module), _) => layers.push((module, Vec::new())),
            (None, Some((_, used))) => used.push(word),
            (None, None) => panic!("{word} comes before the first module"),
        }
    }
    layers
}

/// A module of `LAYERS` by the path of an item: `server::store` for `server::store::sessions::lock`.
fn layer(path: &[String]) -> Option<String> {
    match path {
        [server, module, ..] if server == "server" => Some(format!("server::{module}")),
        [module, ..] => Some(module.clone()),
        [] => None,
    }
}

/// The paths below `crate` that a file uses, whether imported or written out.
struct Paths {
    module: Vec<String>,
    found: Vec<Vec<String>>,
}

impl Paths {
    fn add(&mut self, path: &[String]) {
        let Some(first) = path.first() else { return };
        if first == "crate" {
            self.found.push(path[1..].to_vec());
        } else if first == "super" {
            let up = path.iter().take_while(|part| *part == "super").count();
            let kept = self.module.len().saturating_sub(up);
            let absolute = self.module[..kept].iter().chain(&path[up..]);
            self.found.push(absolute.cloned().collect());
        }
    }

    fn add_tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) => self.add(&with(&name.ident)),
            UseTree::Rename(rename) => self.add(&with(&rename.ident)),
            UseTree::Glob(_) => self.add(before),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.add_tree(before, item)),
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let is_test = item.attrs.iter().any(|attribute| {
            attribute.path().is_ident("cfg")
                && matches!(&attribute.meta, syn::Meta::List(list) if list.tokens.to_string() == "test")
        });
        if !is_test {
            self.module.push(item.ident.to_string());
            syn::visit::visit_item_mod(self, item);
            self.module.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<_> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        self.add(&parts);
        syn::visit::visit_path(self, path);
    }
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && !["tests", "faults"].contains(&&*name) {
            rust_files(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

/// Which modules each module uses, with an example.
fn dependencies() -> BTreeMap<(String, String), String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    let mut found = BTreeMap::new();
    for file in files {
        let relative = file.strip_prefix(&source).expect("below src").with_extension("");
        let mut module: Vec<_> = relative
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        let text = fs::read_to_string(&file).expect("a source file");
        let mut paths = Paths {
            module,
            found: Vec::new(),
        };
        paths.visit_file(&syn::parse_file(&text).expect("valid Rust"));
        let Some(user) = layer(&paths.module) else {
            continue;
        };
        for path in &paths.found {
            if let Some(used) = layer(path).filter(|used| *used != user) {
                let example = format!("{} uses {}", relative.display(), path.join("::"));
                found.entry((user.clone(), used)).or_insert(example);
            }
        }
    }
    found
}

#[test]
fn modules_use_lower_layers_only() {
    let mut lower = BTreeSet::new();
    let layers = layers();
    for (module, allowed) in &layers {
        for used in allowed {
            assert!(lower.contains(used), "{used} is not below {module}");
        }
        lower.insert(*module);
    }
    let found = dependencies();
    let allowed: BTreeSet<(&str, &str)> = layers
        .iter()
        .flat_map(|(module, allowed)| allowed.iter().map(move |used| (*module, *used)))
        .collect();
    let forbidden: Vec<_> = found
        .iter()
        .filter(|((user, used), _)| !allowed.contains(&(&**user, &**used)))
        .map(|((user, used), example)| format!("{user} -> {used}: {example}"))
        .collect();
    assert!(
        forbidden.is_empty(),
        "these modules may not use each other:\n{}",
        forbidden.join("\n")
    );
    let unused: Vec<_> = allowed
        .iter()
        .filter(|(user, used)| !found.contains_key(&((*user).to_owned(), (*used).to_owned())))
        .collect();
    assert!(unused.is_empty(), "no longer needed: {unused:?}");
}
