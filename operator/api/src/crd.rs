//! The CustomResourceDefinitions, as the API server takes them.
//!
//! The derived schemas speak JSON Schema; a CRD's is structural, and narrower. What differs is mended here,
//! in one walk, so that the types stay plain.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use crate::{Lun, LunNode, LunPool, LunSnapshot};

/// The definition of every kind, in the order in which they are best read.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut all = vec![LunPool::crd(), Lun::crd(), LunSnapshot::crd(), LunNode::crd()];
    for crd in &mut all {
        crd.metadata.labels = Some([("app.kubernetes.io/part-of".to_owned(), "lunette".to_owned())].into());
        for version in &mut crd.spec.versions {
            if let Some(schema) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) {
                make_structural(schema);
            }
        }
    }
    all
}

/// `additionalProperties: false` is refused in a CRD, where unknown fields are pruned (and reported by
/// `kubectl`'s strict validation); formats of unsigned integers are unknown there.
fn make_structural(schema: &mut JSONSchemaProps) {
    if matches!(schema.additional_properties, Some(JSONSchemaPropsOrBool::Bool(false))) {
        schema.additional_properties = None;
    }
    if schema.format.as_deref().is_some_and(|f| f.starts_with("uint")) {
        schema.format = Some("int64".to_owned());
    }
    for property in schema.properties.iter_mut().flat_map(|p| p.values_mut()) {
        make_structural(property);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        make_structural(values);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        make_structural(items);
    }
}
