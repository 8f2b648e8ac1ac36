//! What a set of declarations says, as one line for each fact, so that two of them are compared as sets.
//!
//! Whether something is marked as alpha is no fact of the wire and is passed over; which fields are secret is.

use std::collections::BTreeSet;

use protox::prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, ServiceDescriptor,
};

/// The facts about one package.
#[derive(Debug)]
pub struct Facts(BTreeSet<String>);

impl Facts {
    /// All that `pool` says of `package`.
    pub fn of(pool: &DescriptorPool, package: &str) -> Facts {
        let mut facts = BTreeSet::new();
        pool.all_messages().filter(|m| m.package_name() == package).for_each(|m| message(&m, &mut facts));
        pool.all_enums().filter(|e| e.package_name() == package).for_each(|e| enumeration(&e, &mut facts));
        pool.services().filter(|s| s.package_name() == package).for_each(|s| service(&s, &mut facts));
        Facts(facts)
    }

    /// The facts.
    pub fn all(&self) -> &BTreeSet<String> {
        &self.0
    }

    /// Drops what is said of the message, enum or service `name`, and whether anything was.
    pub fn forget(&mut self, name: &str) -> bool {
        let before = self.0.len();
        let about = |fact: &String| {
            let subject = fact.split(' ').nth(1).unwrap_or_default();
            subject == name || subject.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
        };
        self.0.retain(|fact| !about(fact));
        self.0.len() < before
    }
}

fn message(message: &MessageDescriptor, facts: &mut BTreeSet<String>) {
    let name = message.full_name();
    facts.insert(format!("message {name}"));
    facts.extend(message.fields().map(|f| field(&f)));
    facts.extend(message.reserved_ranges().map(|range| format!("reserved {name} {}..{}", range.start, range.end)));
    facts.extend(message.reserved_names().map(|reserved| format!("reserved {name} {reserved}")));
}

fn field(field: &FieldDescriptor) -> String {
    let kind = match field.kind() {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(enumeration) => enumeration.full_name().to_owned(),
        scalar => format!("{scalar:?}"),
    };
    let oneof = field.containing_oneof().map(|oneof| format!(" in oneof {}", oneof.name())).unwrap_or_default();
    let packed = if field.is_packed() { " packed" } else { "" };
    let secret = if is_secret(field) { " secret" } else { "" };
    format!(
        "field {} = {}: {:?} {kind}{oneof}{packed}{secret}, in JSON {}",
        field.full_name(),
        field.number(),
        field.cardinality(),
        field.json_name(),
    )
}

fn is_secret(field: &FieldDescriptor) -> bool {
    let mark = field.parent_pool().get_extension_by_name("csi.v1.csi_secret");
    mark.is_some_and(|mark| field.options().get_extension(&mark).as_bool() == Some(true))
}

fn enumeration(enumeration: &EnumDescriptor, facts: &mut BTreeSet<String>) {
    let name = enumeration.full_name();
    facts.insert(format!("enum {name}"));
    // protobuf scopes a value to the enum's parent: the enum's own name says more.
    facts.extend(enumeration.values().map(|value| format!("value {name}.{} = {}", value.name(), value.number())));
    facts.extend(enumeration.reserved_ranges().map(|r| format!("reserved {name} {}..={}", r.start(), r.end())));
}

fn service(service: &ServiceDescriptor, facts: &mut BTreeSet<String>) {
    facts.insert(format!("service {}", service.full_name()));
    facts.extend(service.methods().map(|call| {
        let stream = |is: bool| if is { "stream of " } else { "" };
        format!(
            "rpc {}({}{}) returns {}{}",
            call.full_name(),
            stream(call.is_client_streaming()),
            call.input().full_name(),
            stream(call.is_server_streaming()),
            call.output().full_name(),
        )
    }));
}
