/*
 * Two Cores over one store (core-protocol.md, "Several Cores"), and an edge that follows either's stream, for spin.
 *
 * Changes are committed in the store, by whichever Core. Each Core learns of them later, in order. A lease is made of what one
 * statement reads in the store, answered some time after, and arrives at the edge at any time. The edge goes from one Core's
 * stream to the other's whenever it likes. A Core may be cut off from the store, and back. All of it interleaves freely.
 * revocation.pml has the edge's guard whole, with holes and several keys; here is what two Cores add.
 *
 * What must hold, always:
 *  - the edge holds no key that is revoked in the store once it has applied that revocation, or gone past it in the log;
 *  - a heartbeat that the edge hears vouches for everything committed before it was sent.
 *
 * Each of these takes one rule out, and then spin says how it goes wrong:
 *  -DWITHOUT_SNAPSHOT: a lease's `revocation_seq` is what the Core has heard by the time of the answer, not what the store
 *     said together with the key's state.
 *  -DWITHOUT_REFRESH: a Core begins a stream by what it has heard, without asking the store whether it is behind.
 *  -DWITHOUT_VOUCHING: a Core sends heartbeats by what it has heard, also while it can't ask the store.
 * test/integration/two-cores-model.test.ts runs all four.
 */
#ifndef EVENTS
#define EVENTS 4
#endif
#define CORES 2
#define LEASES 2
#define REVOKE 1
#define RESTORE 2

/* ---- the store */
byte kind[EVENTS + 1];     /* the log, from 1; all about one key */
byte newest = 0;
bool revoked = false;
byte lastRevoke = 0;

/* ---- the Cores */
byte heard[CORES];         /* the newest event that it has told */
bool isCut[CORES];         /* off from the store */

/* ---- leases being made: 0 none, 1 read in the store, 2 on its way to the edge */
byte stage[LEASES];
byte madeBy[LEASES];
byte seqOf[LEASES];        /* `revocation_seq` */

/* ---- the edge */
byte follows = 0;
byte place = 0;            /* the newest event applied */
bool held = false;
bool blocked = false;
byte floor = 0;            /* leases from before are refused */
bool knows = false;        /* ghost: has applied the store's newest revocation */

#define SAFE (!(held && revoked && (knows || place >= lastRevoke)))

inline applyNext() {
  place++;
  if
  :: kind[place] == REVOKE ->
     held = false;
     blocked = true;
     floor = place;
     if
     :: place == lastRevoke -> knows = true
     :: else
     fi
  :: else -> blocked = false
  fi
}

/* An id that the Core doesn't know: every lease goes, and what was blocked is asked for again. */
inline reset(seq) {
  held = false;
  blocked = false;
  place = seq;
  floor = seq
}

/* Whoever commits: the store has one order. */
active proctype Store() {
  do
  :: newest < EVENTS ->
     atomic {
       newest++;
       if
       :: revoked -> kind[newest] = RESTORE; revoked = false
       :: else -> kind[newest] = REVOKE; revoked = true; lastRevoke = newest; knows = false
       fi
     }
  :: else -> break
  od
}

/* A notification, or a poll. */
active [CORES] proctype Hearing() {
  byte core = _pid - 1;
  do
  :: atomic { heard[core] < newest && !isCut[core] -> heard[core]++ }
  :: isCut[core] = !isCut[core]
  od
}

active [LEASES] proctype Lease() {
  byte lease = _pid - 1 - CORES;
  byte core;
  do
  :: atomic {
       stage[lease] == 0 && !revoked ->
       select(core : 0 .. CORES - 1);
       if
       :: !isCut[core] ->
          stage[lease] = 1;
          madeBy[lease] = core;
          seqOf[lease] = newest
       :: else
       fi
     }
  :: atomic {
       stage[lease] == 1 ->
       stage[lease] = 2;
#ifdef WITHOUT_SNAPSHOT
       seqOf[lease] = heard[madeBy[lease]]
#endif
     }
  :: atomic {
       stage[lease] == 2 ->
       stage[lease] = 0;
       if
       :: blocked || seqOf[lease] < floor
       :: else -> held = true
       fi;
       assert(SAFE)
     }
  od
}

/* The table of blocks is bounded: the number in a lease has to carry the refusal alone. */
active proctype Forgetting() {
  do
  :: blocked = false
  od
}

/* The stream: events in order, heartbeats, and going over to the other Core. */
active proctype Edge() {
  do
  :: atomic {
       place < heard[follows] ->
       applyNext();
       assert(SAFE)
     }
  :: atomic {
#ifdef WITHOUT_VOUCHING
       place >= heard[follows] ->
#else
       /* It asks the store first; what is new is told before the heartbeat. */
       !isCut[follows] && place >= heard[follows] && heard[follows] == newest ->
#endif
       assert(place >= newest)
     }
  :: atomic {
#ifndef WITHOUT_REFRESH
       /* The other Core asks the store before it begins the stream. */
       !isCut[1 - follows] -> heard[1 - follows] = newest;
#else
       true ->
#endif
       follows = 1 - follows;
       if
       :: place > heard[follows] -> reset(heard[follows])
       :: else
       fi;
       assert(SAFE)
     }
  od
}
