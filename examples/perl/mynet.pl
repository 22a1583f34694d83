#!/usr/bin/env perl
# Protocol 1 in Perl, with what comes with Perl.   backproof verify --command 'perl mynet.pl' --hello
use strict;
use warnings;
use JSON::PP;
use List::Util qw(sum0);

my $bug  = grep { $_ eq '--bug' } @ARGV;    # the hidden delta lacks the activation's derivative
my $json = JSON::PP->new->allow_nonref;
$| = 1;                                     # flush after every line

# f(z), and f′ from z and a
my %activations = (
    identity => [ sub { $_[0] }, sub { 1 } ],
    sigmoid  => [ sub { 1 / ( 1 + exp( -$_[0] ) ) }, sub { $_[1] * ( 1 - $_[1] ) } ],
    tanh     => [ sub { tanh( $_[0] ) }, sub { 1 - $_[1] * $_[1] } ],
    relu     => [ sub { $_[0] > 0 ? $_[0] : 0 }, sub { $_[0] > 0 ? 1 : 0 } ],
);

# E of one output, and ∂E/∂o
my %losses = (
    half_squared_error => [ sub { ( $_[0] - $_[1] )**2 / 2 }, sub { $_[0] - $_[1] } ],
    squared_error      => [ sub { ( $_[0] - $_[1] )**2 }, sub { 2 * ( $_[0] - $_[1] ) } ],
);

sub tanh {    # exp(2z) − 1 would cancel near 0
    my $z = shift;
    return $z < 0 ? -tanh( -$z ) : abs($z) < 0.5 ? series($z) : ( 1 - exp( -2 * $z ) ) / ( 1 + exp( -2 * $z ) );
}

sub series {    # the continued fraction z / (1 + z²/(3 + z²/(5 + …)))
    my $z     = shift;
    my $below = 0;
    $below = $z * $z / ( 2 * $_ + 1 + $below ) for reverse 1 .. 12;
    return $z / ( 1 + $below );
}

sub answer {
    my $asked  = shift;
    my @layers = @{ $asked->{layers} };
    for my $name ( map { $_->{activation} } @layers ) {
        return { id => $asked->{id}, error => "activation $name is not implemented" } unless $activations{$name};
    }
    my $of = $losses{ $asked->{loss} };
    return { id => $asked->{id}, error => "loss $asked->{loss} is not implemented" } unless $of;
    return { id => $asked->{id}, error => "only float64 is implemented" } if $asked->{dtype} ne 'float64';

    my @gradients = map {
        my $layer = $_;
        {
            weights => [ map { [ (0) x @$_ ] } @{ $layer->{weights} } ],
            biases  => $layer->{biases} ? [ (0) x @{ $layer->{biases} } ] : undef
        }
    } @layers;
    my $scale = $asked->{reduction} eq 'mean' ? 1 / @{ $asked->{inputs} } : 1;
    my ( @outputs, $loss );
    for my $n ( 0 .. $#{ $asked->{inputs} } ) {
        my @a = ( $asked->{inputs}[$n] );
        my @z;
        for my $layer (@layers) {
            my ( $x, $f ) = ( $a[-1], $activations{ $layer->{activation} }[0] );
            push @z, [
                map {
                    my ( $i, $row ) = ( $_, $layer->{weights}[$_] );
                    sum0( map { $row->[$_] * $x->[$_] } 0 .. $#$x ) + ( $layer->{biases} ? $layer->{biases}[$i] : 0 )
                } 0 .. $#{ $layer->{weights} }
            ];
            push @a, [ map { $f->($_) } @{ $z[-1] } ];
        }
        push @outputs, $a[-1];
        my ( $o, $t ) = ( $a[-1], $asked->{targets}[$n] );
        $loss += sum0( map { $of->[0]->( $o->[$_], $t->[$_] ) } 0 .. $#$o );
        my @error = map { $of->[1]->( $o->[$_], $t->[$_] ) } 0 .. $#$o;
        for my $k ( reverse 0 .. $#layers ) {
            my ( $weights, $slope ) = ( $layers[$k]{weights}, $activations{ $layers[$k]{activation} }[1] );
            my @delta = $bug && $k < $#layers ? @error
                : map { $error[$_] * $slope->( $z[$k][$_], $a[ $k + 1 ][$_] ) } 0 .. $#error;
            for my $i ( 0 .. $#delta ) {
                $gradients[$k]{weights}[$i][$_] += $scale * $delta[$i] * $a[$k][$_] for 0 .. $#{ $a[$k] };
                $gradients[$k]{biases}[$i] += $scale * $delta[$i] if $gradients[$k]{biases};
            }
            @error = map { my $j = $_; sum0( map { $weights->[$_][$j] * $delta[$_] } 0 .. $#delta ) } 0 .. $#{ $a[$k] };
        }
    }
    return { id => $asked->{id}, outputs => \@outputs, loss => $scale * $loss, gradients => \@gradients };
}

# JSON::PP prints 15 digits, which would lose the last bits
sub printed {
    my $value = shift;
    return 'null' unless defined $value;
    return '[' . join( ',', map { printed($_) } @$value ) . ']' if ref $value eq 'ARRAY';
    return '{' . join( ',', map { "\"$_\":" . printed( $value->{$_} ) } sort keys %$value ) . '}' if ref $value eq 'HASH';
    return $json->encode($value) if $value !~ /^-?[0-9.]+(e[-+]?[0-9]+)?$/i;
    return sprintf '%.17g', $value;
}

while ( my $line = <STDIN> ) {
    my $asked = $json->decode($line);
    my $reply = $asked->{hello}
        ? { id => 0, name => 'Perl example', activations => [ sort keys %activations ], losses => [ sort keys %losses ] }
        : answer($asked);
    print printed($reply), "\n";
}
