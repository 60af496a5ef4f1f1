//! Spatial values: the GeoJSON made of a column's bytes is what the server's own function makes of the value.

use rowhook::column::geometry::geojson;
use serde_json::Value;

use crate::support::mysql::MysqlServer;

const TEXTS: &[&str] = &[
    "POINT(1 2)",
    "POINT(-0.0 0.1)",
    "POLYGON((0 0, 0 3, 3 3, 0 0), (1 1, 1 2, 2 2, 1 1))",
    "MULTIPOINT(0 0, 1 1)",
    "MULTILINESTRING((0 0, 1 1), (2 2, 3 3, 4 5))",
    "MULTIPOLYGON(((0 0, 0 3, 3 3, 0 0)), ((1 1, 1 2, 2 2, 1 1), (1.1 1.3, 1.1 1.2, 1.2 1.3, 1.1 1.3)))",
    "GEOMETRYCOLLECTION EMPTY",
    "GEOMETRYCOLLECTION(POINT(1 2), GEOMETRYCOLLECTION(LINESTRING(0 0, 1 1), GEOMETRYCOLLECTION EMPTY))",
    "GEOMETRYCOLLECTION(MULTIPOINT(1 2), MULTIPOLYGON(((0 0, 0 3, 3 3, 0 0))))",
];

/// With coordinates that are no degrees.
const PLANAR_TEXTS: &[&str] = &[
    "POINT(5e-324 1.7976931348623157e308)",
    "POINT(123456789.123456789 1e21)",
    "POINT(1e-7 -9007199254740993)",
    "LINESTRING(0 0, 1.5 -2.25, 1e300 0.1)",
];

/// No reference system; GeoJSON's own; another in degrees, also with the latitude first; two in metres, the second of
/// which has north before east.
const REFERENCE_SYSTEMS: &[u32] = &[0, 4326, 4269, 3857, 2393];

/// Equal as documents, numbers as doubles; the order of members counts.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one.as_f64().expect("a double").to_bits() == other.as_f64().expect("a double").to_bits()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.keys().eq(other.keys()) && one.values().zip(other.values()).all(|(one, other)| is_same(one, other))
        }
        _ => one == other,
    }
}

#[tokio::test]
async fn spatial_values_read_as_the_server_shows_them_in_geojson() {
    let server = MysqlServer::shared();
    let table = format!("{}.g", server.fresh_database().await);
    server.query(&format!("CREATE TABLE {table} (g GEOMETRY)")).await;
    let mut values = Vec::new();
    for srid in REFERENCE_SYSTEMS {
        let planar = if [4326, 4269].contains(srid) { &[] } else { PLANAR_TEXTS };
        let texts = TEXTS.iter().chain(planar);
        values.extend(texts.map(|text| format!("(ST_GeomFromText('{text}', {srid}))")));
    }
    server.query(&format!("INSERT INTO {table} VALUES {}", values.join(", "))).await;
    let question = format!(
        "SELECT CAST(g AS BINARY), IF(ST_SRID(g) IN (0, 4326), ST_AsGeoJSON(g), ST_AsGeoJSON(g, 2147483647, 2)) \
         FROM {table}"
    );
    let rows: Vec<(Vec<u8>, String)> = server.rows(&question).await;
    assert_eq!(rows.len(), values.len());
    for (bytes, expected) in rows {
        let found = geojson(&bytes).expect(&expected);
        let documents = [&found, &expected].map(|text| serde_json::from_str::<Value>(text).expect("JSON"));
        assert!(is_same(&documents[0], &documents[1]), "{found}\nthe server has\n{expected}");
        // Members stand in the server's order; serde_json sorts them.
        let names = |text: &str| text.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(names(&found), names(&expected));
    }
}
