//! What a component imports, function by function: the words between the process that runs it and the server.

use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ResourceType};

/// The interface that a mirror exports.
pub(crate) const CALLS: &str = "bailiwick:mirror/calls";
/// The record that stands for a list of bytes in it, and its two fields: a place in the memory of the mirror.
pub(crate) const BYTES: &str = "bytes";
pub(crate) const AT: &str = "bytes-at";
pub(crate) const LENGTH: &str = "bytes-length";

/// The name under which a mirror exports a function of an import: any name there is makes a plain word.
pub(crate) fn function_name(interface: &str, function: &str) -> String {
    format!("f{}", hex::encode(format!("{interface}#{function}")))
}

/// The name under which it lets go of a resource.
pub(crate) fn drop_name(interface: &str, resource: &str) -> String {
    format!("d{}", hex::encode(format!("{interface}#{resource}")))
}

/// A function of an imported interface.
pub(crate) struct Imported {
    pub(crate) interface: String,
    pub(crate) name: String,
    pub(crate) ty: ComponentFunc,
}

/// A resource of an imported interface, where it is defined.
pub(crate) struct Resource {
    pub(crate) interface: String,
    pub(crate) name: String,
    pub(crate) ty: ResourceType,
}

/// All that a component imports. Both sides number it by this order.
pub(crate) struct Surface {
    pub(crate) functions: Vec<Imported>,
    pub(crate) resources: Vec<Resource>,
}

impl Surface {
    pub(crate) fn of(engine: &Engine, component: &Component) -> Self {
        let (mut functions, mut resources) = (Vec::new(), Vec::<Resource>::new());
        for (interface, item) in component.component_type().imports(engine) {
            // Anything else is refused at admission.
            let ComponentItem::ComponentInstance(instance) = item.ty else {
                continue;
            };
            for (name, item) in instance.exports(engine) {
                let (interface, name) = (interface.to_owned(), name.to_owned());
                match item.ty {
                    ComponentItem::ComponentFunc(ty) => functions.push(Imported {
                        interface,
                        name,
                        ty,
                    }),
                    // One that is taken from another interface was seen there.
                    ComponentItem::Resource(ty) if resources.iter().all(|one| one.ty != ty) => {
                        resources.push(Resource {
                            interface,
                            name,
                            ty,
                        });
                    }
                    _ => {}
                }
            }
        }
        Self {
            functions,
            resources,
        }
    }
}
