/*
 * The guard and the race between leases and revocations (core-protocol.md, "Revocations"), for spin.
 *
 * A Core revokes and restores two keys and answers lease calls. Answers take any time to arrive. Events reach the edge in
 * any order, twice, or never; a heartbeat may show what is missing, and then the edge gets it or drops every lease. The
 * edge may forget a block at any moment (its table is bounded). All of it interleaves freely.
 *
 * What must hold, always: the edge holds no key that is revoked at the Core once it has applied that revocation, or has
 * gone past it in the log.
 *
 * -DWITHOUT_RULE takes out what is done with `revocation_seq`: then it does not hold, and spin says how.
 * -DWITHOUT_EPOCH lets an answer in that was under way when every lease was dropped: the rule alone carries that too.
 * test/integration/revocation-model.test.ts runs all of them.
 *
 * -DAUTHORITY adds an authority other than the Core: it blocks a key at any moment, and the block is lifted only by a
 * restoration that the Core committed after that. The edge does not see when that was: it asks the Core how far the log goes (the
 * fence), any time later. -DWITHOUT_FENCE lets every restoration lift the block: then it does not hold.
 */
#define KEYS 2
#ifndef EVENTS
#define EVENTS 4
#endif
#define REVOKE 1
#define RESTORE 2

/* ---- the Core */
byte kind[EVENTS + 1];   /* the log, from 1 */
byte about[EVENTS + 1];
byte newest = 0;
bool revoked[KEYS];
byte lastRevoke[KEYS];   /* where in the log */

/* ---- answers on their way, one a key */
bool underWay[KEYS];
byte answerSeq[KEYS];    /* `revocation_seq` */
bool answerStale[KEYS];  /* every lease was dropped since the call was made */

/* ---- the edge */
bool held[KEYS];
bool blocked[KEYS];
byte mark[KEYS];         /* the newest event applied about the key */
byte barrier[KEYS];      /* the newest revocation applied about the key, while the block is remembered */
byte floor = 0;          /* answers from before are refused, whatever their key */
byte place = 0;          /* the newest event with no hole before it */
bool early[EVENTS + 2];  /* applied, or waiting, beyond a hole */
bool knows[KEYS];        /* ghost: has applied a revocation, the Core's newest about the key */
#ifdef AUTHORITY
bool ordered[KEYS];      /* an authority's block stands */
bool fenced[KEYS];
byte fence[KEYS];        /* the newest event at the Core, asked once the block stood */
byte earlyRestore[KEYS]; /* the newest restoration applied while the fence was not known */
bool barred[KEYS];       /* ghost: no restoration of the key has been committed since */
#endif

inline raiseFloor(seq) {
  if
  :: seq > floor -> floor = seq
  :: else
  fi
}

inline applyRevoke(n) {
  if
  :: n > mark[about[n]] ->
     blocked[about[n]] = true;
     mark[about[n]] = n;
     barrier[about[n]] = n;
     held[about[n]] = false;
     if
     :: n == lastRevoke[about[n]] -> knows[about[n]] = true
     :: else
     fi
  :: else
  fi
}

inline liftOrdered(n) {
#ifdef AUTHORITY
  if
  :: !ordered[about[n]]
#ifdef WITHOUT_FENCE
  :: ordered[about[n]] -> ordered[about[n]] = false
#else
  :: ordered[about[n]] && !fenced[about[n]] ->
     if
     :: n > earlyRestore[about[n]] -> earlyRestore[about[n]] = n
     :: else
     fi
  :: ordered[about[n]] && fenced[about[n]] ->
     if
     :: n > fence[about[n]] -> ordered[about[n]] = false
     :: else
     fi
#endif
  fi
#else
  skip
#endif
}

inline applyRestore(n) {
  liftOrdered(n);
  if
  :: n > mark[about[n]] ->
     raiseFloor(barrier[about[n]]);
     barrier[about[n]] = 0;
     blocked[about[n]] = false;
     mark[about[n]] = n
  :: else
  fi
}

/* A revocation never waits; a restore, and going on in the log, wait for what is missing. */
inline deliver(n) {
  if
  :: n <= place || early[n]     /* a duplicate */
  :: else ->
     if
     :: kind[n] == REVOKE -> applyRevoke(n)
     :: else
     fi;
     early[n] = true;
     do
     :: early[place + 1] ->
        place++;
        early[place] = false;
        if
        :: kind[place] == RESTORE -> applyRestore(place)
        :: else
        fi
     :: else -> break
     od
  fi
}

inline dropEveryLease() {
  byte each;
  for (each : 0 .. KEYS - 1) {
    held[each] = false;
    /* Events were lost, so a block proves nothing any more: the Core is asked again. */
    blocked[each] = false;
    barrier[each] = 0;
    answerStale[each] = true
  }
  for (each : 0 .. EVENTS + 1) {
    early[each] = false
  }
  place = newest;
  raiseFloor(newest)
}

/* The property, checked after every step of the edge. */
#ifdef AUTHORITY
#define SAFE(k) (!(held[k] && ((revoked[k] && (knows[k] || place >= lastRevoke[k])) || barred[k])))
#else
#define SAFE(k) (!(held[k] && revoked[k] && (knows[k] || place >= lastRevoke[k])))
#endif
inline check() {
  assert(SAFE(0) && SAFE(1))
}

active proctype Core() {
  do
  :: newest < EVENTS ->
     atomic {
       byte k;
       select(k : 0 .. KEYS - 1);
       newest++;
       about[newest] = k;
       if
       :: !revoked[k] ->
          kind[newest] = REVOKE;
          revoked[k] = true;
          lastRevoke[k] = newest;
          knows[k] = false
       :: revoked[k] ->
          kind[newest] = RESTORE;
#ifdef AUTHORITY
          barred[k] = false;
#endif
          revoked[k] = false
       fi
     }
  :: else -> break
  od
}

/* A lease call: asked and answered at the Core in one moment, installed at the edge in another. */
active [KEYS] proctype Lease() {
  byte key = _pid - 1;
  do
  :: atomic {
       !underWay[key] && !revoked[key] ->
       underWay[key] = true;
       answerSeq[key] = newest;
       answerStale[key] = false
     }
  :: atomic {
       underWay[key] ->
       underWay[key] = false;
       if
       :: blocked[key]
#ifdef AUTHORITY
       :: ordered[key]
#endif
#ifndef WITHOUT_EPOCH
       :: answerStale[key]
#endif
#ifndef WITHOUT_RULE
       :: answerSeq[key] < floor || answerSeq[key] < barrier[key]
#endif
       :: else -> held[key] = true
       fi;
       check()
     }
  od
}

active proctype Transports() {
  byte n;
  do
  :: atomic {
       newest > 0 ->
       select(n : 1 .. EVENTS);
       if
       :: n <= newest -> deliver(n)
       :: else
       fi;
       check()
     }
  od
}

/* A heartbeat shows a hole: what is missing is had from the Core, or every lease goes. A `reset` does the latter. */
active proctype Heartbeat() {
  byte m;
  do
  :: atomic {
       place < newest ->
       if
       :: for (m : 1 .. EVENTS) {
            if
            :: m <= newest -> deliver(m)
            :: else
            fi
          }
       :: dropEveryLease()
       fi;
       check()
     }
  od
}

/* The table of blocks is bounded: a block may be forgotten, and then the floor stands in for it. */
active proctype Forgetting() {
  byte victim;
  do
  :: atomic {
       select(victim : 0 .. KEYS - 1);
       if
       :: blocked[victim] ->
          raiseFloor(barrier[victim]);
          barrier[victim] = 0;
          blocked[victim] = false
       :: else
       fi
     }
  od
}

#ifdef AUTHORITY
/* Blocks the first key, once: it is wiped in the same step. The fence comes any time later, from what the Core says then. */
active proctype Authority() {
  byte key = 0;
  atomic {
    ordered[key] = true;
    barred[key] = true;
    held[key] = false;
    check()
  }
  atomic {
    fence[key] = newest;
    fenced[key] = true;
    if
    :: earlyRestore[key] > fence[key] -> ordered[key] = false
    :: else
    fi;
    check()
  }
}
#endif
