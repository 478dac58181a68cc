//! Every answer can be drawn: no panic, no line that is too wide, no byte that a terminal would obey.

use arrow::array::{
    BinaryArray, BooleanArray, Decimal128Array, DurationMillisecondArray, IntervalMonthDayNanoArray,
    ListArray, NullArray, StringViewArray, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, IntervalMonthDayNano, TimeUnit};
use proptest::prelude::*;

use super::*;

/// A column of the type number `kind`, with values from these seeds.
fn column(kind: usize, seeds: &[(Option<i64>, f64, String)]) -> ArrayRef {
    let whole = Int64Array::from_iter(seeds.iter().map(|(n, ..)| *n));
    let of = |kind: DataType| cast(&whole, &kind).unwrap();
    let texts = || StringArray::from_iter(seeds.iter().map(|(n, _, text)| n.map(|_| text.as_str())));
    match kind {
        0 => Arc::new(whole),
        1 => Arc::new(Float64Array::from_iter(seeds.iter().map(|(n, f, _)| n.map(|_| *f)))),
        2 => Arc::new(texts()),
        3 => Arc::new(StringViewArray::from_iter(seeds.iter().map(|(n, _, text)| n.map(|_| text.as_str())))),
        4 => cast(&texts(), &DataType::LargeUtf8).unwrap(),
        5 => cast(&texts(), &DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into())).unwrap(),
        6 => of(DataType::Timestamp(TimeUnit::Second, None)),
        7 => of(DataType::Timestamp(TimeUnit::Millisecond, Some("+02:00".into()))),
        8 => of(DataType::Timestamp(TimeUnit::Microsecond, None)),
        9 => of(DataType::Timestamp(TimeUnit::Nanosecond, None)),
        10 => cast(&of(DataType::Int32), &DataType::Date32).unwrap(),
        11 => of(DataType::Date64),
        12 => Arc::new(UInt64Array::from_iter(seeds.iter().map(|(n, ..)| n.map(|n| n as u64)))),
        13 => Arc::new(BooleanArray::from_iter(seeds.iter().map(|(n, ..)| n.map(|n| n > 0)))),
        14 => Arc::new(DurationMillisecondArray::from_iter(seeds.iter().map(|(n, ..)| *n))),
        15 => Arc::new(IntervalMonthDayNanoArray::from_iter(
            seeds.iter().map(|(n, ..)| n.map(|n| IntervalMonthDayNano::new(n as i32, (n >> 7) as i32, n))),
        )),
        16 => Arc::new(
            Decimal128Array::from_iter(seeds.iter().map(|(n, ..)| n.map(|n| i128::from(n) * 1_000_003)))
                .with_precision_and_scale(38, 5)
                .unwrap(),
        ),
        17 => Arc::new(BinaryArray::from_iter(seeds.iter().map(|(n, _, text)| n.map(|_| text.as_bytes())))),
        18 => of(DataType::Time64(TimeUnit::Nanosecond)),
        19 => Arc::new(NullArray::new(seeds.len())),
        20 => cast(&of(DataType::Int8), &DataType::Float16).unwrap(),
        _ => Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
            seeds.iter().map(|(n, ..)| n.map(|n| vec![Some(n as i32)])),
        )),
    }
}

fn numbers() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![
        1 => Just(None),
        4 => (0i64..5).prop_map(Some),
        2 => (1_772_323_200_000_000_000i64..1_772_423_200_000_000_000).prop_map(Some),
        1 => (1_772_323_200i64..1_782_423_200).prop_map(Some),
        1 => any::<i64>().prop_map(Some),
        1 => prop_oneof![Just(i64::MIN), Just(i64::MAX)].prop_map(Some),
    ]
}

fn tables() -> impl Strategy<Value = Vec<RecordBatch>> {
    let float = prop_oneof![-10.0..10.0, any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), Just(f64::MAX)];
    let text = prop_oneof!["[ab]", any::<String>(), "\\PC{0,300}"];
    let seeds = proptest::collection::vec((numbers(), float, text), 0..60);
    (proptest::collection::vec(0..22usize, 2..5), seeds).prop_map(|(kinds, seeds)| {
        // Identical columns would make dull pictures.
        let shifted = |by: usize| [&seeds[by.min(seeds.len())..], &seeds[..by.min(seeds.len())]].concat();
        let columns: Vec<(String, ArrayRef)> = kinds
            .iter()
            .enumerate()
            .map(|(nth, kind)| (format!("c{nth}"), column(*kind, &shifted(nth))))
            .collect();
        table(columns.iter().map(|(name, array)| (name.as_str(), Arc::clone(array))).collect())
    })
}

/// Requests. Most of them leave much open, otherwise hardly any request would fit a table.
fn requests() -> impl Strategy<Value = String> {
    let kind = prop_oneof![6 => Just(""), 1 => Just("bar"), 1 => Just("line"), 1 => Just("histogram"), 1 => Just("heat")];
    let place = prop_oneof![
        12 => Just(""),
        2 => Just(" x=c0"),
        1 => Just(" x=c0,c1"),
        2 => Just(" y=c1"),
        1 => Just(" y=c0,c1"),
        1 => Just(" z=c1"),
        1 => Just(" by=c1"),
    ];
    (kind, place.clone(), place).prop_map(|(kind, one, two)| format!("{kind}{one}{two}"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_answer_is_drawn_or_refused(
        batches in tables(),
        request in requests(),
        width in 0u16..300,
        height in 0u16..60,
        colour in any::<bool>(),
        zone in prop_oneof![Just("UTC"), Just("Europe/Athens"), Just("Asia/Kathmandu")],
    ) {
        let zone = TimeZone::get(zone).unwrap();
        let Ok(request) = Request::parse(&request) else { return Ok(()) };
        if let Ok(picture) = draw(&batches, &request, &zone, width, height, colour) {
            prop_assert!(picture.ends_with('\n'));
            if !colour {
                for line in picture.lines() {
                    prop_assert!(!line.contains(char::is_control), "{line:?}");
                    prop_assert!(text::width(line) <= usize::from(width.max(20)), "{line:?}");
                }
            }
            prop_assert!(picture.lines().count() <= usize::from(height.max(8)) + 3, "{picture}");
            let picture = compose(&Rows::all(&batches), &request, &zone, file::ROOM).unwrap();
            let svg = String::from_utf8(file::bytes(&picture, FileKind::Svg).unwrap()).unwrap();
            prop_assert!(roxmltree::Document::parse(&svg).is_ok(), "{svg}");
        }
    }
}
