(module
  (@custom "histoloom.op" "{\"name\": \"bright\", \"version\": 1, \"summary\": \"Flags tiles that are nearly white\", \"params\": [{\"name\": \"limit\", \"min\": 0, \"max\": 255, \"default\": 230, \"doc\": \"Mean grey value above which a tile is flagged\"}]}")
  (import "histoloom" "flag" (func $flag (param i32 i32 i32 i32 i32 i32)))
  (import "histoloom" "metric" (func $metric (param i32 i32 f64)))
  (memory (export "memory") 1)
  (data (i32.const 16) "mean_grey")
  (data (i32.const 32) "TOO_BRIGHT")
  (data (i32.const 48) "This tile is nearly white: it may show glass instead of tissue")

  (func (export "hl_op_abi") (result i32) (i32.const 1))

  (func (export "hl_op_alloc") (param $bytes i32) (result i32) ;; new pages behind those there are
    (i32.shl (memory.grow (i32.shr_u (i32.add (local.get $bytes) (i32.const 65535)) (i32.const 16))) (i32.const 16)))

  (func (export "hl_op_run") (param $in i32) (result i32)
    (local $at i32) (local $end i32) (local $sum i64) (local $mean f64)
    (local.set $at (i32.load offset=12 (local.get $in))) ;; word 3: rgb
    (local.set $end (i32.add (local.get $at) ;; + 3 * width * height
      (i32.mul (i32.const 3) (i32.mul (i32.load offset=4 (local.get $in)) (i32.load offset=8 (local.get $in))))))
    (loop $next
      (local.set $sum (i64.add (local.get $sum) (i64.load8_u (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
    (local.set $mean (f64.div (f64.convert_i64_u (local.get $sum))
      (f64.convert_i32_u (i32.sub (local.get $end) (i32.load offset=12 (local.get $in))))))
    (call $metric (i32.const 16) (i32.const 9) (local.get $mean))
    (if (f64.gt (local.get $mean) (f64.load (i32.load offset=36 (local.get $in)))) ;; word 9: params
      (then (call $flag (i32.const 32) (i32.const 10) (i32.const 48) (i32.const 62) (i32.const -1) (i32.const -1))))
    (i32.const 0))) ;; nothing was rewritten
